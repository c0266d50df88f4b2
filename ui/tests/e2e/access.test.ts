import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { fail } from '../mock/mock';
import { MockServer, TOKEN } from '../mock/server';
import { DIST, launch, Window } from './harness';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

test('the token leaves the address and the history at once', async () => {
  const window = await Window.open(browser, { view: '/keys' });
  expect(window.page.url()).toBe(`${window.origin}/ui/#/keys`);
  await window.page.reload();
  await window.sees('old-laptop');
  expect(await window.page.evaluate(() => history.length)).toBeLessThanOrEqual(2);
  await window.close();
});

test('without the token the page is locked, and a wrong one does not open it', async () => {
  const window = await Window.open(browser, { token: false });
  await window.sees('This page is locked');
  expect(await window.violations()).toEqual([]);
  await window.type(window.page.getByLabel('Control token'), 'wrong');
  await window.page.keyboard.press('Enter');
  await window.sees('This page is locked');
  await window.type(window.page.getByLabel('Control token'), TOKEN);
  await window.page.keyboard.press('Enter');
  await window.page.getByRole('heading', { name: 'Ready' }).waitFor();
  await window.close();
});

test('it says when the proxy is gone, and goes on by itself when it is back', async () => {
  const window = await Window.open(browser);
  await window.page.getByRole('heading', { name: 'Ready' }).waitFor();
  await window.server.stop();
  await window.page.getByRole('heading', { name: 'No connection to the proxy' }).waitFor();
  const again = new MockServer(window.mock, DIST);
  await again.start(Number(new URL(window.origin).port));
  await window.page.getByRole('heading', { name: 'Ready' }).waitFor({ timeout: 20_000 });
  await again.stop();
  await window.page.context().close();
});

test('what the proxy refuses is shown in its own words, and can be tried again', async () => {
  const window = await Window.open(browser);
  window.mock.failures.set(
    'GET /control/keys',
    fail(503, 'The keychain is locked. Unlock it, then try again.', 'locked'),
  );
  await window.go('/keys');
  await window.sees('The keychain is locked. Unlock it, then try again.');
  window.mock.failures.clear();
  await window.press(window.button('Try again'));
  await window.sees('old-laptop');
  await window.close();
});

test('a change of view moves the focus and the title', async () => {
  const window = await Window.open(browser);
  await window.press(window.link('Workers'));
  const heading = window.page.getByRole('heading', { name: 'Workers', level: 1 });
  await expect.poll(() => heading.evaluate((element) => element === document.activeElement)).toBe(true);
  expect(await window.page.title()).toBe('Workers – Codex Proxy');
  await window.page.goBack();
  await window.page.getByRole('heading', { name: 'Ready' }).waitFor();
  await window.close();
});

test('the first Tab offers to skip the navigation', async () => {
  const window = await Window.open(browser, { view: '/keys' });
  await window.page.keyboard.press('Tab');
  await window.press(window.button('Skip to the content'));
  await window.page.keyboard.press('Tab');
  const field = window.page.getByLabel('Name of a new key');
  expect(await field.evaluate((element) => element === document.activeElement)).toBe(true);
  await window.close();
});

test('on a narrow screen the navigation is a menu', async () => {
  const window = await Window.open(browser, { context: { viewport: { width: 360, height: 640 } } });
  const menu = window.button('Menu');
  expect(await window.link('Keys').isVisible()).toBe(false);
  await window.press(menu);
  await window.tabTo(window.link('Keys'));
  await window.page.keyboard.press('Escape');
  expect(await menu.evaluate((element) => element === document.activeElement)).toBe(true);
  await window.page.keyboard.press('Enter');
  await window.press(window.link('Keys'));
  await window.sees('old-laptop');
  expect(await menu.getAttribute('aria-expanded')).toBe('false');
  await window.close();
});

test('the window of the application closes with its shortcut', async () => {
  const window = await Window.open(browser, { way: 'app' });
  await window.page.keyboard.press('Control+w');
  await expect.poll(() => window.outside).toContain('window_close');
  await window.close();
});

test('the watch for refused content works', async () => {
  const window = await Window.open(browser);
  await window.page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'document.title = "inline"';
    document.body.append(script);
  });
  await expect(window.close()).rejects.toThrow(/Content Security Policy/);
});

test('the watch for a secret works', async () => {
  const window = await Window.open(browser);
  await window.page.evaluate(async () => {
    const answer = await fetch('/control/keys/key_1/reveal', {
      method: 'POST',
      headers: { authorization: `Bearer ${sessionStorage.getItem('control-token') ?? ''}` },
    });
    document.body.append(await answer.text());
  });
  await expect(window.close()).rejects.toThrow(/THE-SECRET/);
});
