/**
 * Walks through the window of a real proxy, as a person would. The suite in the repository's `tests/` starts the proxy
 * over the real Codex, whose upstream always answers `ANSWER`, and names it here by variables.
 */

import { mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { launch, Pane } from '../e2e/harness';

const SHOTS = fileURLToPath(new URL('../screenshots', import.meta.url));
const SIZES = [
  { width: 360, height: 640 },
  { width: 480, height: 720 },
  { width: 1_024, height: 768 },
];

/** The origin of the proxy. */
const ORIGIN = variable('CODEX_PROXY_WINDOW');
const TOKEN = variable('CODEX_PROXY_TOKEN');
const KEY = variable('CODEX_PROXY_KEY');
const ANSWER = variable('CODEX_PROXY_ANSWER');

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
  mkdirSync(SHOTS, { recursive: true });
});
afterAll(() => browser.close());

async function open(view: string): Promise<Pane> {
  const page = await Pane.blank(browser, ORIGIN);
  const pane = new Pane(page, ORIGIN);
  await page.goto(`${ORIGIN}/ui/#token=${TOKEN}&to=${view}`);
  await page.getByRole('heading', { level: 1 }).waitFor();
  expect(page.url()).toBe(`${ORIGIN}/ui/#${view}`);
  return pane;
}

/** Closes it, after a last look for secrets. */
const close = (pane: Pane) => pane.close(TOKEN, KEY);

/** What a client asks. */
async function ask(key: string, body: object = { model: 'codex-5', input: 'Hello?' }): Promise<Response> {
  return fetch(`${ORIGIN}/v1/responses`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

/** The text of the file that `button` saves. */
async function saved(pane: Pane, button: string): Promise<string> {
  const [download] = await Promise.all([pane.page.waitForEvent('download'), pane.button(button).click()]);
  return readFile(await download.path(), 'utf8');
}

describe('the flows', () => {
  test('a prompt is tried and its answer streams', async () => {
    const pane = await open('/chat');
    await pane.page.getByLabel('Effort').selectOption('low');
    await pane.page.getByLabel('Question').fill('Say hello.');
    await pane.button('Send').click();
    await pane.page.getByRole('region', { name: 'Answer' }).getByText(ANSWER).waitFor();
    await pane.sees(/first token after .* in all .* tokens in/);
    await pane.go('/requests');
    await pane.link('codex-5-low').first().click();
    await pane.sees('/control/try');
    await close(pane);
  });

  test('a client gets a key, and its first request is seen', async () => {
    const pane = await open('/clients/obsidian-copilot');
    await pane.button('Create the key “obsidian-copilot”').click();
    await pane.sees('Waiting for its first request with this key…');
    await pane.button('Copy the key').click();
    await pane.sees('Copied: the key obsidian-copilot');
    const key = await pane.clipboard();
    expect(await pane.page.content()).not.toContain(key);
    expect((await ask(key)).status).toBe(200);
    await pane.sees('It works:');
    await pane.link('Details').click();
    await pane.sees('obsidian-copilot');
    await pane.go('/clients');
    await pane.sees(/Last request .*(now|second|minute)/);
    await close(pane);
  });

  test("a client's settings are shown, changed and brought back", async () => {
    const pane = await open('/clients/codex-cli');
    await pane.button('Create the key “codex-cli”').click();
    await pane.sees('exists; your other settings stay as they are.');
    await pane.button('Show the change').click();
    await pane.sees('+model_provider = "codex-proxy"');
    expect(await pane.violations()).toEqual([]);
    await pane.page.screenshot({ path: `${SHOTS}/live-client-change.png` });
    await pane.button('Change the file').click();
    await pane.sees(/config\.toml\.before-codex-proxy/);
    await pane.sees('points to this proxy.');
    await pane.button('Undo').click();
    await pane.sees('exists; your other settings stay as they are.');
    await close(pane);
  });

  test('a request is recorded in full, and the record ends', async () => {
    const pane = await open('/requests');
    await pane.page.getByText('Record requests in full').click();
    await pane.button('Start recording').click();
    await pane.sees(/All requests and answers are being recorded/);
    await ask(KEY, { model: 'gpt-recorded', input: 'A question to record' });
    await pane.link('gpt-recorded').first().click();
    await pane.sees('Sent to Codex');
    await pane.sees('A question to record');
    await pane.page.screenshot({ path: `${SHOTS}/live-request.png`, fullPage: true });
    expect(await pane.violations()).toEqual([]);
    await pane.button(/curl/).click();
    await expect.poll(() => pane.clipboard()).toContain('/v1/responses');
    expect(await pane.clipboard()).toContain('$CODEX_PROXY_KEY');
    await pane.go('/requests');
    await pane.button('Stop recording').click();
    await pane.page.getByText('Record requests in full').waitFor();
    await close(pane);
  });

  test('keys are made, renamed, switched off and deleted', async () => {
    const pane = await open('/keys');
    await pane.page.getByLabel('Name of a new key').fill('a-walk');
    await pane.page.keyboard.press('Enter');
    await pane.page.getByRole('heading', { name: 'a-walk' }).waitFor();
    await pane.page.getByLabel('Name of a new key').fill('a-walk');
    await pane.page.keyboard.press('Enter');
    await pane.sees(/already/);
    await close(pane);
  });

  test('a worker is replaced', async () => {
    const pane = await open('/workers');
    const pid = () => pane.page.locator('dt:has-text("Process") + dd').first().innerText();
    const before = await pid();
    await pane.button('Restart worker 1').click();
    await expect.poll(pid, { timeout: 30_000 }).not.toBe(before);
    await pane.sees('Ready');
    await close(pane);
  });

  test('usage is shown and saved as a file', async () => {
    const pane = await open('/usage');
    await pane.sees('Breakdown');
    const csv = await saved(pane, 'Export CSV');
    expect(csv.split('\n')[0]).toContain('input_tokens');
    expect(csv).toContain('/control/try');
    const json = JSON.parse(await saved(pane, 'Export JSON')) as unknown;
    expect(JSON.stringify(json)).toContain('codex-5-low');
    await close(pane);
  });

  test('a setting is changed, refused and put back', async () => {
    const pane = await open('/settings');
    const find = pane.page.getByLabel('Find a setting');
    await find.fill('prompt tokens');
    const limit = pane.page.getByLabel('Max prompt tokens');
    await limit.fill('900000');
    await pane.button('Save').click();
    await pane.sees(/^Some changes take effect when the proxy is started again\./);
    await pane.page.reload();
    await pane.sees(/^Some changes take effect when the proxy is started again\./);
    await find.fill('prompt tokens');
    expect(await limit.inputValue()).toBe('900000');
    await limit.fill('');
    await pane.button('Save').click();
    await pane.page.getByText('Some changes take effect').waitFor({ state: 'detached' });
    await find.fill('allowed hosts');
    await pane.page.getByLabel('Allowed hosts').fill('a host');
    await pane.button('Save').click();
    await pane.sees(/must be a comma-separated list of host names/);
    expect(await pane.violations()).toEqual([]);
    await close(pane);
  });

  test('the log level is changed and the diagnostics are saved without secrets', async () => {
    const pane = await open('/settings/logs');
    await pane.page.getByLabel('Level, until the next start').selectOption('debug');
    const log = pane.page.getByRole('region', { name: 'The last lines of the log' });
    await log.getByText('Debug', { exact: true }).first().waitFor();
    const told = await saved(pane, 'Save the diagnostics');
    expect(JSON.parse(told)).toMatchObject({ status: { ready: true } });
    for (const secret of [KEY, TOKEN, 'A question to record']) expect(told).not.toContain(secret);
    await close(pane);
  });
});

/** Every view, and what each says once it has its data. */
const SIGHTS: [view: string, settled: string | RegExp][] = [
  ['/home', 'Ready'],
  ['/chat', 'Send'],
  ['/models', 'Also called'],
  ['/workers', 'Worker 1'],
  ['/usage', 'Export CSV'],
  ['/requests', 'Load older ones'],
  ['/clients', 'curl'],
  ['/clients/obsidian-copilot', 'Copy the key'],
  ['/clients/zed', 'settings.json'],
  ['/keys', 'a-walk'],
  ['/proof', /[Pp]rove/],
  ['/settings', 'Most used'],
  ['/settings/codex', '0.171.0'],
  ['/settings/stored', 'Chat completions'],
  ['/settings/logs', 'Diagnostics'],
  ['/settings/about', 'It sends no telemetry.'],
  ['/start', /Set up|All done/],
];

describe.each(['light', 'dark'] as const)('the views, %s', (colorScheme) => {
  test.each(SIGHTS)('%s', async (view, settled) => {
    const page = await Pane.blank(browser, ORIGIN, { colorScheme });
    const pane = new Pane(page, ORIGIN);
    await page.goto(`${ORIGIN}/ui/#token=${TOKEN}&to=${view}`);
    await pane.sees(settled);
    for (const size of SIZES) {
      await page.setViewportSize(size);
      const name = `live${view.replaceAll('/', '-')}-${size.width}-${colorScheme}.png`;
      await page.screenshot({ path: `${SHOTS}/${name}`, fullPage: true });
      expect.soft(await pane.overflow(), `pixels too wide at ${size.width}`).toBe(0);
    }
    expect.soft(await pane.violations()).toEqual([]);
    await close(pane);
  });
});

function variable(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; the suite in tests/ runs this`);
  return value;
}
