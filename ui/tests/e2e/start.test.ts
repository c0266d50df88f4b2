import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import * as data from '../mock/data';
import { SECRET } from '../mock/mock';
import { launch, Window, type Options, type Way } from './harness';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

/** The way from nothing to the first answer, and what stands in it: in each of the two ways to the proxy, with the keyboard alone. */
describe.each<Way>(['http', 'app'])('by keyboard, %s', (way) => {
  const open = (options: Options) => Window.open(browser, { way, ...options });

  /** What was copied last. */
  async function copied(window: Window): Promise<string | undefined> {
    return way === 'http' ? window.clipboard() : window.outside.at(-1);
  }

  test('the first run, from nothing to the first answer', async () => {
    const window = await open({ scenario: 'no_codex', view: '/' });
    const { mock, page } = window;
    await page.getByRole('heading', { name: 'Set up', level: 1 }).waitFor();

    await window.press(window.button('Install Codex 0.169.0'));
    await window.sees('Looking for Codex…');
    mock.tell(({ codex }) => {
      codex.job = {
        action: 'install',
        phase: 'downloading',
        version: '0.169.0',
        bytes: 25e6,
        total_bytes: 1e8,
        error: null,
      };
    });
    await window.sees('24 MiB of 95 MiB');
    expect(await page.getByRole('progressbar').getAttribute('aria-valuenow')).toBe('25');
    mock.tell(({ codex }) => {
      Object.assign(codex, { version: '0.169.0', supported: true, source: 'managed', job: null });
    });

    await window.press(window.button('Use a device code'));
    await window.sees('WDJB-MJHT');
    await window.press(window.button('Copy the code'));
    await window.sees('Copied: the code');
    expect(await copied(window)).toBe(way === 'http' ? 'WDJB-MJHT' : 'copy_text WDJB-MJHT');
    await window.press(window.button('Cancel'));

    await window.press(window.button('Sign in with the browser'));
    await window.sees('Finish the sign-in in your browser.');
    if (way === 'app') expect(window.outside.at(-1)).toBe('open_external sign_in');
    else
      expect(await window.link(/^Open the sign-in page/).getAttribute('href')).toContain('/oauth/authorize');
    mock.tell((status) => {
      Object.assign(status, { ready: true, workers: [data.worker(0)] });
      Object.assign(status.account, {
        state: 'signed_in',
        email: 'robin@example.com',
        plan: 'Plus',
        login: null,
      });
    });
    await window.sees('robin@example.com');

    await window.press(window.link('Choose a client'));
    await window.press(window.link(/^Obsidian Copilot 4/));
    await window.sees('It starts once there is a key.');
    await window.press(window.button('Create the key “obsidian-copilot”'));
    await window.sees('Waiting for its first request');
    await window.press(window.button('Copy the key'));
    await window.sees('Copied: the key obsidian-copilot');
    if (way === 'http') expect(await window.clipboard()).toBe(SECRET);
    else expect(window.outside.at(-1)).toMatch(/^copy_key [0-9a-f-]+$/);

    const first = data.request(0, { at: Date.now(), key: 'obsidian-copilot', client: 'obsidian' });
    mock.request({ ...first, state: 'running', status: null });
    await window.sees('Its request has arrived');
    mock.request(first);
    await window.sees('status 200');

    await window.go('/start');
    await window.sees('All done: clients get their answers.');
    await window.close();
  });

  test('the first answer stays, with what to do next', async () => {
    const window = await open({ scenario: 'empty', view: '/home' });
    window.mock.world.models = data.modelList();
    await window.go('/start');
    await expect.poll(() => window.button('Ask').isEnabled()).toBe(true);
    await window.press(window.button('Ask'));
    await window.sees('Hello from the mock model.');
    window.mock.request(data.request(1, { at: Date.now(), key: 'window', client: 'window' }));
    window.mock.tell((status) => (status.today = data.totals(1)));
    await window.sees('It works. Next, set up a client');
    await window.sees('Hello from the mock model.');
    await window.press(window.link('Set up a client'));
    await window.sees('Choose yours to see what to enter where.');
    await window.close();
  });

  test('Codex from this machine, without a download', async () => {
    const window = await open({ scenario: 'no_codex', view: '/start' });
    const { mock } = window;
    mock.tell(({ codex }) => (codex.elsewhere = ['/opt/homebrew/bin/codex']));
    await window.press(window.button('Use this one'));
    await window.sees('Looking for Codex…');
    expect(mock.bodies.at(-1)).toEqual({ file: '/opt/homebrew/bin/codex' });
    mock.tell(({ codex }) => (codex.job = null));
    await window.press(window.page.getByText('Use a file instead'));
    if (way === 'app') {
      await window.press(window.button('Choose…'));
      await expect
        .poll(() => window.page.getByLabel('File', { exact: true }).inputValue())
        .toBe('/home/robin/Downloads/codex.tgz');
    } else {
      await window.type(window.page.getByLabel('File', { exact: true }), '/home/robin/Downloads/codex.tgz');
    }
    await window.press(window.button('Use this file'));
    await window.sees('Looking for Codex…');
    expect(mock.bodies.at(-1)).toEqual({ file: '/home/robin/Downloads/codex.tgz' });
    await window.close();
  });

  test('a client with a wrong key is told of where it is waited for, and listed', async () => {
    const window = await open({ view: '/clients/zed' });
    await window.press(window.button('Create the key “zed”'));
    await window.sees('Waiting for its first request');
    const refused = data.request(700, {
      at: Date.now(),
      key: null,
      client: 'zed',
      status: 401,
      state: 'failed',
      error_code: 'invalid_api_key',
      requested_model: null,
      refusal: { reason: 'wrong_key', named: null, count: 3 },
    });
    window.mock.request(refused);
    await window.sees('A request was refused. zed sent a wrong or disabled API key.');
    await window.go('/requests');
    await window.sees('Refused 401 × 3');
    await window.press(window.link(/^POST \/v1\/responses/));
    await window.sees('zed sent a wrong or disabled API key.');
    await window.close();
  });

  test('what runs now, how long, and when a limit is full', async () => {
    const window = await open({ view: '/home' });
    const { page, mock } = window;
    const running = data.request(901, {
      at: Date.now() - 4_000,
      key: 'laptop',
      state: 'running',
      status: null,
      duration_ms: null,
      ttft_ms: null,
      response_bytes: 0,
      output_tokens: 0,
    });
    mock.request(running);
    const row = page.getByRole('listitem').filter({ hasText: 'laptop' });
    await row.getByText(/gpt-5\.5, for \d+ s/).waitFor();
    mock.request({ ...running, response_bytes: 3_172, ttft_ms: 700 });
    await row.getByText('3.1 KiB so far').waitFor();
    await window.go('/requests');
    await page
      .getByRole('row')
      .filter({ hasText: 'laptop' })
      .getByRole('cell', { name: /^\d+ s$/ })
      .waitFor();
    await window.go('/home');
    mock.request({ ...running, state: 'done', status: 200 });
    await row.getByText(/^Last request/).waitFor();

    mock.tell(({ limits }) => {
      const now = Math.floor(Date.now() / 1_000);
      // Two hours have gone and half of it is used: it is full an hour before it resets.
      if (limits?.primary) Object.assign(limits.primary, { used_percent: 50, resets_at: now + 3 * 3_600 });
      if (limits) limits.read_at = now;
    });
    await window.sees(/At this pace full (at|on) /);
    await window.close();
  });

  test('paused, and resumed', async () => {
    const window = await open({ view: '/home' });
    await window.press(window.button('Pause'));
    await window.sees('Requests are refused until you resume.');
    await window.press(window.page.getByRole('main').getByRole('button', { name: 'Resume' }));
    await window.sees('Ready');
    await window.close();
  });

  test('a failed installation says why', async () => {
    const window = await open({ scenario: 'installing', view: '/start' });
    window.mock.tell(({ codex }) => {
      if (codex.job)
        Object.assign(codex.job, {
          phase: 'failed',
          error: 'The registry does not answer. Check the network.',
        });
    });
    await window.sees('The registry does not answer. Check the network.');
    await window.tabTo(window.button('Install Codex 0.169.0'));
    await window.close();
  });

  test('signing in with an API key, and out again', async () => {
    const window = await open({ scenario: 'signed_out', view: '/settings/codex' });
    await window.press(window.page.getByText('Use an OpenAI API key instead'));
    await window.type(window.page.getByLabel('OpenAI API key', { exact: true }), 'sk-somebody');
    await window.page.keyboard.press('Enter');
    await window.press(window.button('Sign out'));
    await window.sees('Requests are refused (401) until somebody signs in again.');
    await window.page.keyboard.press('Tab');
    await window.page.keyboard.press('Enter');
    await window.sees('Sign in with the browser');
    await window.close();
  });
});
