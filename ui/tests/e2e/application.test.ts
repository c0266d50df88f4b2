/** What only the window of the application has: its own preferences, updates, and the size of the texts. */

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { fail } from '../mock/mock';
import { launch, Window } from './harness';

const SHOTS = fileURLToPath(new URL('../screenshots', import.meta.url));

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

test('the preferences of the application are chosen in the window', async () => {
  const window = await Window.open(browser, { way: 'app', view: '/settings' });
  const { mock, page } = window;
  await window.sees('Notices on the desktop');
  expect(await window.violations()).toEqual([]);
  await window.press(page.getByLabel('The limits of the plan'), 'Space');
  await expect.poll(() => mock.application.notify.limits).toBe(false);
  expect(mock.application.notify).toEqual({ signed_out: true, limits: false, broken: true, updates: true });
  await window.press(page.getByLabel('Start Codex Proxy when I log in'), 'Space');
  await expect.poll(() => mock.application.starts_at_login).toBe(true);
  await window.tabTo(page.getByLabel('Clear a copied key'));
  await page.keyboard.press('End');
  await expect.poll(() => mock.application.clipboard_seconds).toBe(0);

  mock.failures.set('start_at_login', fail(500, 'The folder is read-only.', 'not_done'));
  await window.press(page.getByLabel('Start Codex Proxy when I log in'), 'Space');
  await window.sees('The folder is read-only.');
  await window.close();
});

test('the texts become larger and smaller by the keyboard', async () => {
  const window = await Window.open(browser, { way: 'app', view: '/settings' });
  const { mock, page } = window;
  await window.sees('Size of the texts');
  for (const [key, zoom] of [
    ['+', 110],
    ['=', 125],
    ['-', 110],
    ['0', 100],
  ] as const) {
    await page.keyboard.press(`Control+${key}`);
    await expect.poll(() => mock.application.zoom).toBe(zoom);
    await expect.poll(() => page.getByLabel('Size of the texts').inputValue()).toBe(String(zoom));
  }
  await window.close();
});

test('light and dark can be chosen against the system, and the choice stays', async () => {
  const window = await Window.open(browser, { view: '/settings', context: { colorScheme: 'light' } });
  const { page } = window;
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await window.sees('Colours');
  const light = await background();
  const choose = (theme: string) => page.getByLabel('Colours').selectOption(theme);
  await choose('dark');
  await expect.poll(background).not.toBe(light);
  const dark = await background();
  expect(await window.violations()).toEqual([]);
  await page.reload();
  await window.sees('Colours');
  await expect.poll(background).toBe(dark);
  await page.emulateMedia({ colorScheme: 'dark' });
  await choose('light');
  await expect.poll(background).toBe(light);
  await choose('auto');
  await expect.poll(background).toBe(dark);
  await window.close();
});

test('an update says what is new, and is installed with a restart', async () => {
  const window = await Window.open(browser, { way: 'app', view: '/settings/about' });
  const { mock, page } = window;
  await window.sees('No newer version is known.');
  await window.press(window.button('Check for updates'));
  await window.sees('Version 9.0.0 can be installed.');
  await window.sees('A page to try things.');
  expect(await page.locator('.markdown code').textContent()).toBe('codex-5');
  expect(await window.violations()).toEqual([]);
  await window.go('/home');
  await window.press(window.link('See what is new in 9.0.0'));
  await window.press(window.button('Restart to update'));
  await window.sees('Installing version 9.0.0.');
  expect(mock.application.update?.phase).toBe('installing');
  await window.close();
});

test('the sign-in of the Codex on this machine is taken over', async () => {
  for (const way of ['app', 'http'] as const) {
    const window = await Window.open(browser, { way, scenario: 'signed_out', view: '/start' });
    const { mock, page } = window;
    mock.failures.set('POST /control/account/import', fail(409, 'There is no sign-in to copy.', 'conflict'));
    await window.press(page.getByText('Use the sign-in of Codex on this machine'));
    await window.press(window.button('Copy that sign-in'));
    await window.sees('There is no sign-in to copy.');
    expect(await page.getByRole('alert').count(), 'one error, once').toBe(1);
    expect(await window.violations()).toEqual([]);
    mock.failures.clear();
    await window.press(window.button('Copy that sign-in'));
    await window.sees('This is a copy of the other sign-in.');
    await window.close();
  }
});

test('the proxy is shared on the network with an address, a key and a code, and not any more', async () => {
  for (const way of ['app', 'http'] as const) {
    const window = await Window.open(browser, { way, view: '/settings' });
    const { mock, page } = window;
    await window.sees('Share on this network');
    await window.sees('The connection is not encrypted');
    expect(await window.violations()).toEqual([]);
    mock.failures.set('POST /control/share', fail(400, 'That is no private address.', 'invalid_value'));
    await window.type(page.getByLabel('Address of this machine'), '8.8.8.8');
    await page.keyboard.press('Enter');
    await window.sees('That is no private address.');
    mock.failures.clear();
    await window.type(page.getByLabel('Address of this machine'), '192.168.1.20');
    await page.keyboard.press('Enter');
    await window.sees('http://192.168.1.20:11435/v1');
    await page.getByRole('img', { name: 'The base URL as a code for a camera' }).waitFor();
    for (const width of [360, 1_024]) {
      await page.setViewportSize({ width, height: 768 });
      expect(await window.violations()).toEqual([]);
      expect(await window.overflow()).toBe(0);
    }
    await window.press(window.button('Stop sharing'));
    await expect.poll(() => mock.share.on).toBe(false);
    await page.getByLabel('Address of this machine').waitFor();
    await window.close();
  }
});

test.each([
  ['/settings', 'Stop sharing'],
  ['/settings/about', 'Version 9.0.0 can be installed.'],
  ['/home', 'See what is new in 9.0.0'],
])('what only the application shows fits in every width, in light and dark: %s', async (view, settled) => {
  mkdirSync(SHOTS, { recursive: true });
  for (const colorScheme of ['light', 'dark'] as const) {
    const window = await Window.open(browser, { way: 'app', view: '/keys', context: { colorScheme } });
    const { mock, page } = window;
    mock.handle('POST', '/control/share', { address: '192.168.1.20' });
    mock.application.update = mock.newer;
    await page.reload();
    await window.go(view);
    await window.sees(settled);
    for (const width of [360, 480, 1_024]) {
      await page.setViewportSize({ width, height: 768 });
      const name = `app${view.replaceAll('/', '-')}-${width}-${colorScheme}.png`;
      await page.screenshot({ path: `${SHOTS}/${name}`, fullPage: true });
      expect.soft(await window.overflow(), `pixels too wide at ${width}`).toBe(0);
      if (width !== 480) expect.soft(await window.violations()).toEqual([]);
    }
    await window.close();
  }
});
