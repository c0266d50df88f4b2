import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { Mock } from '../mock/mock';
import type { Scenario } from '../mock/world';
import { launch, Window } from './harness';

const PICTURE = fileURLToPath(new URL('../../../docs/images/window.png', import.meta.url));
const SHOTS = fileURLToPath(new URL('../screenshots', import.meta.url));

/** Every view in daily use, and what each says in its other states. */
const SIGHTS: [scenario: Scenario, view: string, settled: string | RegExp][] = [
  ['ready', '/home', 'Ready'],
  ['ready', '/models', 'Also called'],
  ['ready', '/chat', 'Send'],
  ['empty', '/chat', 'No models yet'],
  ['ready', '/workers', 'Worker 2'],
  ['ready', '/usage', 'gpt-5.5-mini'],
  ['ready', '/requests', 'Load older ones'],
  ['ready', '/requests/req_000005', 'Sent to Codex'],
  ['ready', '/clients', 'curl'],
  ['ready', '/clients/obsidian-copilot', 'Copy the key'],
  ['ready', '/clients/cursor', /cannot reach 127\.0\.0\.1/],
  ['ready', '/clients/codex-cli', 'Create the key “codex-cli”'],
  ['ready', '/clients/other-client', 'Create the key “other-client”'],
  ['ready', '/keys', 'old-laptop'],
  ['ready', '/proof', 'Prove again'],
  ['broken', '/proof', /adds a developer message/],
  ['empty', '/proof', 'Nothing proved on this machine yet'],
  ['ready', '/settings', 'Most used'],
  ['ready', '/settings/codex', 'Sign out'],
  ['ready', '/settings/stored', 'Chat completions'],
  ['broken', '/settings/stored', /The disk is full/],
  ['empty', '/settings/stored', 'Nothing is stored.'],
  ['ready', '/settings/logs', 'Diagnostics'],
  ['ready', '/settings/about', 'It sends no telemetry.'],
  ['ready', '/start', 'All done: clients get their answers.'],
  ['no_codex', '/home', 'Codex is not installed'],
  ['no_codex', '/start', 'Install Codex 0.169.0'],
  ['installing', '/start', /30 MiB of 80 MiB/],
  ['signed_out', '/start', 'Use a device code'],
  ['broken', '/home', 'Codex is not running'],
  ['broken', '/workers', 'Waiting to try again'],
  ['broken', '/keys', /No keychain answers/],
  ['limited', '/home', "Your plan's limit is reached"],
  ['empty', '/home', 'No requests yet today.'],
  ['empty', '/models', 'No models yet'],
  ['empty', '/usage', 'No requests in this time'],
  ['empty', '/requests', 'No requests yet'],
  ['empty', '/settings/logs', 'The log is empty'],
  ['huge', '/home', /1,024 requests are waiting/],
  ['huge', '/keys', /thinking-59/],
  ['huge', '/usage', 'Breakdown'],
];

const SIZES = [
  { width: 360, height: 640 },
  { width: 480, height: 720 },
  { width: 1_024, height: 768 },
];

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
  mkdirSync(SHOTS, { recursive: true });
});
afterAll(() => browser.close());

describe('every view in light and dark, at every width', () => {
  test.each(SIGHTS)('%s %s', async (scenario, view, settled) => {
    // Opened anew for each: a page whose scheme has just changed is at times looked at with half of the old colours.
    for (const colorScheme of ['light', 'dark'] as const) {
      const window = await Window.open(browser, { scenario, view, context: { colorScheme } });
      await window.sees(settled);
      for (const size of SIZES) {
        await window.page.setViewportSize(size);
        const name = `${scenario}${view.replaceAll('/', '-')}-${size.width}-${colorScheme}.png`;
        await window.page.screenshot({ path: `${SHOTS}/${name}`, fullPage: scenario !== 'huge' });
        if (size.width !== 480) expect.soft(await window.violations()).toEqual([]);
        expect.soft(await window.overflow(), `pixels too wide at ${size.width}`).toBe(0);
      }
      await window.close();
    }
  });
});

test.each(['light', 'dark'] as const)('a chat with an image and an answer, %s', async (colorScheme) => {
  const window = await Window.open(browser, { view: '/chat', context: { colorScheme } });
  window.mock.words = [
    'Spring tides come **twice a month**, near new and full moon.\n\n',
    '| tide | when |\n| --- | --- |\n| spring | new and full moon |\n| neap | half moon |\n\n',
    '```python\nfor day in range(28):\n    print(day, height(day))  # a line that is rather long for a small window\n```\n\n',
    '1. The Moon pulls.\n2. The Sun pulls, too.\n\n> A quotation with `code` in it.',
  ];
  await window.page.locator('input[type=file]').setInputFiles(PICTURE);
  await window.page.getByRole('img').waitFor();
  await window.type(window.page.getByLabel('Question'), 'Why are some tides higher than others?');
  await window.press(window.button('Send'));
  await window.sees(/5 out/);
  await window.page.locator('input[type=file]').setInputFiles(PICTURE);
  await window.button('Remove window.png').waitFor();
  for (const size of SIZES) {
    await window.page.setViewportSize(size);
    await window.page.screenshot({
      path: `${SHOTS}/chat-answer-${size.width}-${colorScheme}.png`,
      fullPage: true,
    });
    expect.soft(await window.violations()).toEqual([]);
    expect.soft(await window.overflow(), `pixels too wide at ${size.width}`).toBe(0);
  }
  await window.close();
});

test.each(['light', 'dark'] as const)('limits with a history, %s', async (colorScheme) => {
  const set = (mock: Mock, minutes: number, used: number) =>
    mock.tell(({ limits }) => {
      if (!limits?.primary) return;
      limits.read_at = Math.floor(Date.now() / 1_000) - minutes * 60;
      limits.primary.used_percent = used;
    });
  const window = await Window.open(browser, {
    view: '/usage',
    context: { colorScheme },
    prepare: (mock) => set(mock, 110, 8),
  });
  await window.sees('Used by, in tokens');
  const readings = [
    [90, 12],
    [60, 18],
    [45, 19],
    [20, 30],
    [0, 37],
  ] as const;
  for (const [minutes, used] of readings) set(window.mock, minutes, used);
  await window.page.getByRole('img', { name: /^5-hour limit, 37.% used, At this pace/ }).waitFor();
  for (const size of SIZES) {
    await window.page.setViewportSize(size);
    const name = `limits-history-${size.width}-${colorScheme}.png`;
    await window.page.screenshot({ path: `${SHOTS}/${name}`, fullPage: true });
    expect.soft(await window.violations()).toEqual([]);
    expect.soft(await window.overflow(), `pixels too wide at ${size.width}`).toBe(0);
  }
  await window.close();
});

test.each<[Scenario, view: string, settled: string]>([
  ['ready', '/home', 'Bereit'],
  ['ready', '/chat', 'Senden'],
  ['ready', '/usage', 'Verlauf'],
  ['ready', '/requests', 'Ältere laden'],
  ['ready', '/keys', 'old-laptop'],
  ['ready', '/clients/obsidian-copilot', 'Schlüssel kopieren'],
  ['ready', '/settings', 'Häufig gebraucht'],
  ['no_codex', '/start', 'Codex 0.169.0 installieren'],
  ['signed_out', '/start', 'Gerätecode verwenden'],
])('in German %s %s', async (scenario, view, settled) => {
  const window = await Window.open(browser, { scenario, view, context: { locale: 'de-AT' } });
  await window.sees(settled);
  expect(await window.page.evaluate(() => document.documentElement.lang)).toBe('de');
  for (const size of SIZES) {
    await window.page.setViewportSize(size);
    const name = `german-${scenario}${view.replaceAll('/', '-')}-${size.width}.png`;
    await window.page.screenshot({ path: `${SHOTS}/${name}`, fullPage: true });
    expect.soft(await window.violations()).toEqual([]);
    expect.soft(await window.overflow(), `pixels too wide at ${size.width}`).toBe(0);
  }
  await window.close();
});

test.each([['/home'], ['/usage'], ['/requests'], ['/keys'], ['/settings'], ['/clients/zed']])(
  'at 200 % zoom %s keeps within the screen',
  async (view) => {
    const context = { viewport: { width: 512, height: 384 }, deviceScaleFactor: 2 };
    const window = await Window.open(browser, { view, context });
    await window.page.getByRole('button').first().waitFor();
    expect(await window.overflow()).toBe(0);
    await window.page.screenshot({ path: `${SHOTS}/zoom${view.replaceAll('/', '-')}.png`, fullPage: true });
    await window.close();
  },
);

test.each([['/home'], ['/requests'], ['/settings']])(
  'text of twice the size on %s keeps within the screen',
  async (view) => {
    const window = await Window.open(browser, { view });
    await window.page.evaluate(() => (document.documentElement.style.fontSize = '30px'));
    expect(await window.overflow()).toBe(0);
    await window.close();
  },
);

test('nothing moves for those who asked for less motion', async () => {
  const window = await Window.open(browser, { scenario: 'installing', view: '/start' });
  await window.sees('Cancel');
  const durations = await window.page.evaluate(() =>
    document.getAnimations().map((animation) => Number(animation.effect?.getComputedTiming().duration)),
  );
  expect(Math.max(0, ...durations)).toBeLessThan(1);
  await window.close();
});

test('things move for everybody else', async () => {
  const context = { reducedMotion: 'no-preference' } as const;
  const window = await Window.open(browser, { scenario: 'no_codex', view: '/start', context });
  window.mock.handle('POST', '/control/codex/install', null);
  await window.sees('Looking for Codex…');
  expect(await window.page.evaluate(() => document.getAnimations().length)).toBeGreaterThan(0);
  await window.close();
});

test('forced colours', async () => {
  const window = await Window.open(browser, { view: '/home', context: { forcedColors: 'active' } });
  expect(await window.violations()).toEqual([]);
  await window.page.screenshot({ path: `${SHOTS}/forced-colors.png` });
  await window.close();
});
