import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import * as data from '../mock/data';
import { launch, Window, type Options, type Way } from './harness';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

/** Every flow once in each of the two ways to the proxy, with the keyboard alone. */
describe.each<Way>(['http', 'app'])('by keyboard, %s', (way) => {
  const open = (options: Options) => Window.open(browser, { way, ...options });

  /** What was copied last. */
  async function copied(window: Window): Promise<string | undefined> {
    return way === 'http' ? window.clipboard() : window.outside.at(-1);
  }

  test('a chat: asked, measured, stopped, copied, cleared', async () => {
    const window = await open({ view: '/chat' });
    const { mock, page } = window;
    mock.words = ['# Tides\n', 'They are **high** ', 'and `low`.\n\n- spring\n- neap'];
    await window.tabTo(page.getByLabel('Effort'));
    await page.keyboard.type('high');
    await window.type(page.getByLabel('Question'), 'What are tides?');
    await page.keyboard.press('Enter');
    const answer = page.getByRole('region', { name: 'Answer' });
    await answer.getByText('Tides', { exact: true }).waitFor();
    await window.sees(/1,234 tokens in, 5 out/);
    await window.sees(/first token after/);
    expect(await answer.locator('strong').innerText()).toBe('high');
    expect(await answer.locator('li').count()).toBe(2);
    expect(mock.bodies.at(-1)).toEqual({ model: 'codex-5-high', input: 'What are tides?' });
    expect(await window.violations()).toEqual([]);

    await window.press(window.button('Copy as code'));
    await page.getByRole('menuitem', { name: 'as curl' }).waitFor();
    await page.keyboard.press('Enter');
    await window.sees('Copied: the request as curl');
    expect(await copied(window)).toContain('"model":"codex-5-high","input":"What are tides?"');
    expect(await copied(window)).toContain('$CODEX_PROXY_KEY');

    mock.words = ['Hello', ' again'];
    mock.pace = () => new Promise(() => undefined);
    await window.type(page.getByLabel('Question'), 'And now?');
    await window.press(window.button('Send'));
    await window.press(window.button('Stop'));
    await window.sees(/stopped/);
    await expect.poll(() => mock.asked).toContain('closed /control/try');
    await window.go('/home');
    await page.getByRole('heading', { name: 'Ready' }).waitFor();
    await window.go('/chat');
    await page.getByRole('region', { name: 'Answer' }).first().waitFor();
    await window.press(window.button('New conversation'));
    await expect.poll(() => page.getByRole('region', { name: 'Answer' }).count()).toBe(0);
    await window.close();
  });

  test('a chat of several questions, with images', async () => {
    const window = await open({ view: '/chat' });
    const { page, mock } = window;
    const png = Buffer.from(
      'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
      'base64',
    );
    const pictures = page.getByRole('list', { name: 'Images' }).getByRole('img');
    const choosing = page.waitForEvent('filechooser');
    await window.press(window.button('Add images'));
    await (
      await choosing
    ).setFiles([
      { name: 'cat.png', mimeType: 'image/png', buffer: png },
      { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('x') },
    ]);
    await window.sees('notes.txt is not a PNG, JPEG, WebP or GIF image.');
    await page.getByRole('img', { name: 'cat.png' }).waitFor();
    await page.evaluate(
      (bytes) => {
        const give = (name: string) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], name, { type: 'image/png' }));
          return data;
        };
        const field = document.querySelector('textarea');
        field?.dispatchEvent(
          new ClipboardEvent('paste', { clipboardData: give('pasted.png'), bubbles: true }),
        );
        const dropped = { dataTransfer: give('dropped.png'), bubbles: true, cancelable: true };
        field?.dispatchEvent(new DragEvent('dragover', dropped));
        document.body.dispatchEvent(new DragEvent('drop', dropped));
      },
      [...png],
    );
    await page.getByRole('img', { name: 'dropped.png' }).waitFor();
    expect(await pictures.count()).toBe(3);
    expect(await window.violations()).toEqual([]);
    await window.press(window.button('Remove pasted.png'));
    expect(await pictures.count()).toBe(2);
    await window.type(page.getByLabel('Question'), 'What is it?');
    await page.keyboard.press('Enter');
    await window.sees(/5 out/);
    const url = `data:image/png;base64,${png.toString('base64')}`;
    const first = {
      role: 'user',
      content: [
        { type: 'input_text', text: 'What is it?' },
        { type: 'input_image', image_url: url },
        { type: 'input_image', image_url: url },
      ],
    };
    expect(mock.bodies.at(-1)).toEqual({ model: 'codex-5', input: [first] });
    // What was asked shows its images; the form has none any more.
    expect(await pictures.count()).toBe(2);

    await window.type(page.getByLabel('Question'), 'Which colour?');
    await page.keyboard.press('Enter');
    await expect.poll(() => page.getByText(/5 out/).count()).toBe(2);
    const input = [
      first,
      { role: 'assistant', content: 'Hello from the mock model.' },
      { role: 'user', content: 'Which colour?' },
    ];
    expect(mock.bodies.at(-1)).toEqual({ model: 'codex-5', input });
    await window.tabTo(window.button('Copy as code').last());
    await page.keyboard.press('Enter');
    await page.keyboard.press('Enter');
    await window.sees('Copied: the request as curl');
    expect(await copied(window)).toContain(JSON.stringify({ model: 'codex-5', input }));

    await window.press(window.button('New conversation'));
    await window.type(page.getByLabel('Question'), 'Anew.');
    await page.keyboard.press('Enter');
    await window.sees(/5 out/);
    expect(mock.bodies.at(-1)).toEqual({ model: 'codex-5', input: 'Anew.' });
    await window.close();
  });

  test('images are not for every model, and not of every size', async () => {
    const window = await open({ view: '/chat' });
    const { page } = window;
    await page.getByLabel('Model').waitFor();
    await page.evaluate(
      (size) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(size)], 'large.png', { type: 'image/png' }));
        const picker = document.querySelector<HTMLInputElement>('input[type=file]');
        if (!picker) throw new Error('there is no field for files');
        picker.files = data.files;
        picker.dispatchEvent(new Event('change', { bubbles: true }));
      },
      31 * 2 ** 20,
    );
    await window.sees('large.png has 31 MiB. All images of a conversation together may have 30 MiB.');
    window.mock.world.models.models.forEach((model) => (model.input_modalities = ['text']));
    await window.go('/home');
    await window.go('/chat');
    await window.sees('codex-5 reads text only.');
    expect(await window.button('Add images').isDisabled()).toBe(true);
    await window.close();
  });

  test('what an answer says is text, whatever it looks like', async () => {
    const window = await open({ view: '/chat' });
    const { mock, page } = window;
    mock.words = [
      '<img src=x onerror="document.title = 1"> <script>document.title = 2</script>\n\n',
      '[a](javascript:document.title=3) ![pic](https://example.com/x.png) [b](https://example.com/) &lt;b&gt;',
    ];
    await window.type(page.getByLabel('Question'), 'Try it.');
    await page.keyboard.press('Enter');
    await window.sees(/5 out/);
    const answer = page.getByRole('region', { name: 'Answer' });
    expect(await answer.innerText()).toContain('<img src=x onerror="document.title = 1">');
    expect(await answer.innerText()).toContain('<b>');
    expect(await answer.locator('img, script').count()).toBe(0);
    expect(await answer.locator('a').count()).toBe(way === 'http' ? 1 : 0);
    expect(await page.title()).toBe('Chat – Codex Proxy');
    await window.close();
  });

  test('restarting one worker and all, and one that gives up', async () => {
    const window = await open({ view: '/workers' });
    await window.press(window.button('Restart worker 2'));
    await window.sees('Worker 2 is being replaced.');
    expect(window.mock.asked).toContain('POST /control/workers/1/restart');
    await window.press(window.button('Restart all'));
    await window.sees('All workers are being replaced.');
    expect(window.mock.asked).toContain('POST /control/workers/restart');
    window.mock.tell(({ workers }) => workers.forEach((worker) => (worker.state = 'failed')));
    await expect.poll(() => window.page.getByText('Failed', { exact: true }).count()).toBe(2);
    await window.close();
  });

  test('usage: another period, another sum, the table, the export', async () => {
    const window = await open({ view: '/usage' });
    const { page } = window;
    await window.tabTo(page.getByLabel('7 days'));
    await page.keyboard.press('ArrowRight');
    expect(await page.getByLabel('30 days').isChecked()).toBe(true);
    await window.tabTo(page.getByLabel('Tokens', { exact: true }));
    await page.keyboard.press('ArrowRight');
    await window.sees('Answered');
    await window.press(page.getByText('Show as a table'));
    const days = await page.getByRole('region', { name: 'Usage by day' }).getByRole('rowheader').count();
    // At midnight the last one is yesterday.
    expect([29, 30]).toContain(days);
    await window.tabTo(page.getByLabel('Model', { exact: true }));
    await page.keyboard.press('ArrowRight');
    await page.getByRole('rowheader', { name: 'obsidian-copilot' }).waitFor();
    // Another key had the name of the first.
    await page.getByRole('rowheader', { name: 'default (key_3)' }).waitFor();
    await page.getByRole('rowheader', { name: 'default', exact: true }).waitFor();
    const download = way === 'http' ? page.waitForEvent('download') : null;
    await window.tabTo(window.button('Export CSV'), 'Shift+Tab');
    await page.keyboard.press('Enter');
    await window.sees(/^Saved: /);
    if (download) expect((await download).suggestedFilename()).toBe('codex-proxy-usage.csv');
    else expect(window.outside).toContain('save codex-proxy-usage.csv');
    await window.close();
  });

  test('requests: recording, a live one, filtering, one in full', async () => {
    const window = await open({ view: '/requests' });
    const { page, mock } = window;
    await window.press(page.getByText('Record requests in full'));
    const whose = page.getByLabel('Requests of');
    await whose.getByRole('option', { name: 'obsidian-copilot' }).waitFor({ state: 'attached' });
    await window.tabTo(whose);
    await page.keyboard.type('obs');
    await window.press(window.button('Start recording'));
    await window.sees(/of “obsidian-copilot” are being recorded/);
    expect(mock.world.capture).toMatchObject({ active: true, key: 'obsidian-copilot' });
    await window.press(window.button('Stop recording'));
    await window.sees('Record requests in full');

    mock.request(data.request(900, { at: Date.now(), requested_model: 'codex-5-live', has_capture: true }));
    await window.link('codex-5-live').waitFor();
    await window.type(page.getByLabel('Filter requests'), 'idle_timeout');
    await expect.poll(() => page.getByRole('row').count()).toBe(2);
    await window.type(page.getByLabel('Filter requests'), 'live');
    await window.press(window.link('codex-5-live'));
    await window.sees('Sent to Codex');
    await window.press(window.button('Copy as curl'));
    await window.sees('Copied: the curl command');
    expect(await copied(window)).toContain('$CODEX_PROXY_KEY');
    await window.close();
  });

  test('older requests, as far as they go', async () => {
    const window = await open({ scenario: 'huge', view: '/requests' });
    await expect.poll(() => window.page.getByRole('row').count()).toBe(101);
    await window.press(window.button('Load older ones'));
    await expect.poll(() => window.page.getByRole('row').count()).toBe(201);
    await window.close();
  });

  test('keys: made, copied, renamed, rotated, disabled, deleted', async () => {
    const window = await open({ view: '/keys' });
    const { page, mock } = window;
    const named = (name: string) => page.getByRole('group', { name: `Key ${name}`, exact: true });
    const names = () => mock.world.keys.keys.map((key) => `${key.name} ${key.enabled ? 'on' : 'off'}`);

    await window.type(page.getByLabel('Name of a new key'), 'default');
    await page.keyboard.press('Enter');
    await window.sees('There is already a key named default. Choose another name.');
    await window.type(page.getByLabel('Name of a new key'), 'laptop');
    await page.keyboard.press('Enter');
    await window.sees('Key “laptop” is created.');
    await window.press(named('laptop').getByRole('button', { name: 'Copy', exact: true }));
    await window.sees('Copied: the key laptop');

    const more = (name: string) => named(name).getByRole('button', { name: `More for ${name}` });
    const choose = async (name: string, action: string) => {
      await window.press(more(name));
      const item = page.getByRole('menuitem', { name: action });
      await item.waitFor();
      for (let i = 0; i < 4 && !(await item.evaluate((one) => one === document.activeElement)); i++) {
        await page.keyboard.press('ArrowDown');
      }
      await page.keyboard.press('Enter');
    };
    await choose('laptop', 'Rename');
    await window.type(page.getByLabel('New name'), 'desk');
    await page.keyboard.press('Enter');
    await named('desk').waitFor();
    expect(names()).toContain('desk on');

    await window.press(more('desk'));
    expect(await window.violations()).toEqual([]);
    await page.keyboard.press('Escape');
    await expect.poll(() => page.getByRole('menu').count()).toBe(0);
    await choose('desk', 'Replace');
    await window.sees('The old secret stops working at once.');
    await page.keyboard.press('Escape');
    await expect.poll(() => more('desk').evaluate((button) => button === document.activeElement)).toBe(true);
    await choose('desk', 'Replace');
    await window.press(window.button('Create a new secret'));
    await window.sees('“desk” has a new secret.');

    await choose('desk', 'Disable');
    await window.press(page.getByRole('dialog').getByRole('button', { name: 'Disable' }));
    await named('desk').getByText('Disabled').waitFor();
    await choose('desk', 'Enable');
    await expect.poll(() => named('desk').getByText('Disabled').count()).toBe(0);

    await choose('desk', 'Delete');
    await window.press(page.getByRole('dialog').getByRole('button', { name: 'Delete' }));
    await window.sees('Key “desk” is deleted.');
    expect(names()).not.toContain('desk on');

    await window.press(window.button('Move to a file'));
    await window.sees('Secrets are kept in a file that only you can read.');
    await window.close();
  });

  test('settings: searched, refused, changed', async () => {
    const window = await open({ view: '/settings' });
    const { page, mock } = window;
    await window.type(page.getByLabel('Find a setting'), 'timeout');
    await window.type(page.getByLabel('Timeout (ms)'), 'soon');
    await window.sees('It must be a whole number of milliseconds from 1 to 604800000.');
    expect(await window.button('Save').isDisabled()).toBe(true);
    await window.type(page.getByLabel('Timeout (ms)'), '60000');
    await page.keyboard.press('Enter');
    await window.sees(/^Some changes take effect when the proxy is started again\./);
    expect(mock.world.settings.settings.find(({ key }) => key === 'timeout_ms')?.value).toBe(60_000);
    if (way === 'app') {
      await window.press(window.button('Restart now'));
      await expect.poll(() => window.outside.at(-1)).toBe('restart_app');
    } else expect(await window.button('Restart now').count()).toBe(0);

    await window.type(page.getByLabel('Find a setting'), 'PROXY_HOST');
    await window.type(page.getByLabel('Host', { exact: true }), 'nonsense');
    await page.keyboard.press('Enter');
    await window.sees('host must be an IP address such as 127.0.0.1 or ::1, or localhost.');
    await window.press(window.button('Discard'));
    expect(await page.getByLabel('Host', { exact: true }).inputValue()).toBe('');

    await window.type(page.getByLabel('Find a setting'), 'worker');
    expect(await page.getByLabel('Worker count').isDisabled()).toBe(true);

    await window.type(page.getByLabel('Find a setting'), ' ');
    expect(await page.getByLabel('Strict parameters').count()).toBe(0);
    await window.press(page.getByText(/^Advanced: all other settings/));
    await page.getByLabel('Strict parameters').waitFor();
    expect(await window.violations()).toEqual([]);
    await window.close();
  });

  test('stored answers: exported, pruned, removed, switched off', async () => {
    const window = await open({ view: '/settings/stored' });
    const { page, mock } = window;
    await window.sees(/removed after 30 days; if all of it takes more than 1\.0 GiB/);
    await window.sees('1,284');
    const download = way === 'http' ? page.waitForEvent('download') : null;
    await window.press(window.button('Export'));
    await window.sees(/^Saved: .*codex-proxy-responses\.jsonl/);
    if (download) expect((await download).suggestedFilename()).toBe('codex-proxy-responses.jsonl');
    else expect(window.outside).toContain('save codex-proxy-responses.jsonl');
    await window.press(window.button('Remove what is too old'));
    await window.sees('3 removed.');
    await window.sees('1,281');

    await window.press(window.button('Remove everything…'));
    const dialog = page.getByRole('dialog', { name: 'Remove all stored answers?' });
    await dialog.waitFor();
    expect(await window.violations()).toEqual([]);
    await window.press(dialog.getByRole('button', { name: 'Cancel' }));
    expect(mock.asked).not.toContain('POST /control/store/clear');
    await window.press(window.button('Remove everything…'));
    await window.press(dialog.getByRole('button', { name: 'Remove everything' }));
    await window.sees('Nothing is stored.');

    await window.tabTo(page.getByLabel('Store answers'));
    await page.keyboard.press('End');
    await window.press(window.button('Save'));
    await window.sees(/^Some changes take effect when the proxy is started again\./);
    expect(mock.world.settings.settings.find(({ key }) => key === 'store')?.value).toBe(false);
    mock.world.store.state = 'off';
    await window.go('/home');
    await window.go('/settings/stored');
    await window.sees('Storing is off: no new prompts and answers are kept.');
    await window.close();
  });

  test('another language, chosen and kept', async () => {
    const window = await open({ view: '/settings', context: { locale: 'fr-FR' } });
    const { page } = window;
    await window.tabTo(page.getByLabel('Language'));
    await page.keyboard.press('End');
    await page.getByRole('heading', { name: 'Einstellungen', level: 1 }).waitFor();
    const choice = page.getByLabel('Sprache');
    expect(await choice.evaluate((element) => element === document.activeElement)).toBe(true);
    await page.reload();
    await window.link('Übersicht').waitFor();
    expect(await page.title()).toBe('Einstellungen – Codex Proxy');
    // The tray and the notices follow.
    if (way === 'app') expect(window.outside).toEqual(['choose_language de']);
    await window.close();
  });

  test('Codex: an update that can be cancelled, and the way back', async () => {
    const window = await open({ view: '/settings/codex' });
    const { mock } = window;
    await window.press(window.button('Look for an update'));
    await window.sees('Looking for Codex…');
    await window.press(window.button('Cancel'));
    await window.press(window.button('Go back to 0.168.1'));
    await expect.poll(() => mock.asked).toContain('POST /control/codex/rollback');
    mock.tell(({ codex }) => {
      if (codex.job) Object.assign(codex.job, { phase: 'done', version: '0.168.1' });
    });
    await window.sees('Back on Codex 0.168.1.');
    await window.close();
  });

  test('a proof: what it shows, and another one that finds something', async () => {
    const window = await open({ view: '/proof' });
    await window.sees('sends your words and your tools, and nothing else');
    await window.sees('0 bytes');
    await window.press(window.button('Prove again'));
    await window.sees('Asking Codex 0.169.0: 21 of 60 requests…');
    window.mock.world.proofs = [data.impureProof('0.169.0')];
    window.mock.tell(({ proof }) => proof && Object.assign(proof, { phase: 'done', verdict: 'impure' }));
    await window.sees('Codex adds a developer message: 412 bytes, in 60 requests.');
    await window.close();
  });

  test('the log, its level and the diagnostics', async () => {
    const window = await open({ view: '/settings/logs' });
    const { page, mock } = window;
    await window.sees('a turn ended');
    await page.getByLabel('Level, until the next start').and(page.locator(':enabled')).waitFor();
    await window.tabTo(page.getByLabel('Level, until the next start'));
    await page.keyboard.press('ArrowDown');
    await window.sees('The log level is debug until the next start.');
    expect(mock.world.filter).toBe('debug');
    const log = page.getByRole('region', { name: 'The last lines of the log' });
    mock.world.logs.push(
      `${new Date().toISOString()}  WARN proxy_core::worker: a worker has ended exit=101`,
      `${new Date().toISOString()} DEBUG proxy_core::http: asked`,
    );
    await log.getByText('a worker has ended').waitFor();
    expect(await log.getByText('proxy_core').count()).toBe(0);
    await window.tabTo(page.getByLabel('Show'));
    await page.keyboard.press('ArrowDown');
    await expect.poll(() => log.innerText()).not.toContain('a turn ended');
    expect(await log.innerText()).toContain('Warning');
    await window.press(window.button('Copy as text'));
    await window.sees('Copied: the log as text');
    expect(await copied(window)).toContain('WARN proxy_core::worker');
    await window.press(window.button('Save the diagnostics'));
    await window.sees(/^Saved: .*codex-proxy-diagnostics\.json/);
    if (way === 'app') {
      await window.press(window.button('Open the folder'));
      await expect.poll(() => window.outside).toContain('open_external logs');
    }
    await window.close();
  });

  test('clients: those on this machine first, and any other', async () => {
    const window = await open({ view: '/clients' });
    const { page, mock } = window;
    await window.sees('Found: its settings file is here');
    const first = page.getByRole('heading', { level: 2 }).first();
    expect(await first.innerText()).toBe('On this machine');
    mock.request(data.request(800, { at: Date.now(), key: 'curl', state: 'running', status: null }));
    await page.getByRole('link', { name: 'curl Request running' }).waitFor();
    await window.press(window.link(/^Other client/));
    await window.press(window.button('Copy Base URL'));
    await window.sees('Copied: Base URL');
    expect(await copied(window)).toContain('http://127.0.0.1:11435/v1');
    await window.press(window.button('Create the key “other-client”'));
    await window.press(window.button('Copy the key other-client'));
    await window.sees('Copied: the key other-client');
    await window.close();
  });

  test("a client's file: seen, changed, undone", async () => {
    const window = await open({ view: '/clients/codex-cli' });
    const { page, mock } = window;
    await window.press(window.button('Create the key “codex-cli”'));
    await window.press(window.button('Show the change'));
    await window.sees('+model_provider = "codex-proxy"');
    await window.press(window.button('Change the file'));
    await window.sees('config.toml.before-codex-proxy');
    expect(mock.world.clients[0]?.configured).toBe(true);
    await window.press(window.button('Undo'));
    await page.getByText('exists; your other settings stay as they are.').waitFor();
    expect(mock.world.clients[0]?.configured).toBe(false);
    await window.close();
  });
});

/** What only the application can do. */

describe('in the application', () => {
  test('a proxy that does not run is tried again where the person is', async () => {
    const window = await Window.open(browser, { way: 'app', view: '/keys' });
    window.mock.lose('The proxy does not run: the port is taken. When that is settled, choose Try again.');
    await window.sees('the port is taken');
    await window.press(window.button('Try again'));
    expect(window.outside.at(-1)).toBe('try_again');
    await window.press(window.button('Use another port'));
    await window.sees('The proxy listens on port 11436 now.');
    window.mock.failures.clear();
    window.mock.tell();
    await expect.poll(() => window.page.getByText('the port is taken').count()).toBe(0);
    await window.page.getByRole('heading', { name: 'Keys', level: 1 }).waitFor();
    await window.close();
  });

  test('all data is removed after what that is was shown', async () => {
    const window = await Window.open(browser, { way: 'app', view: '/settings/about' });
    await window.press(window.button('Remove my data…'));
    const dialog = window.page.getByRole('dialog', { name: 'Remove all data of Codex Proxy?' });
    await dialog.getByText('2 API keys in the system').waitFor();
    await dialog.getByText('/home/robin/.config/zed/settings.json').waitFor();
    await window.press(dialog.getByRole('button', { name: 'Cancel' }));
    expect(window.outside).toEqual([]);
    await window.press(window.button('Remove my data…'));
    await window.press(dialog.getByRole('button', { name: 'Remove and quit' }));
    await expect.poll(() => window.outside.at(-1)).toBe('remove_data');
    await window.close();
  });

  test('the panel of the icon, and the end', async () => {
    const window = await Window.open(browser, { way: 'app', view: '/settings' });
    await window.tabTo(window.page.getByLabel('Panel behind the icon'));
    await window.page.keyboard.press('ArrowDown');
    await expect.poll(() => window.outside.at(-1)).toBe('choose_panel light');
    await window.press(window.button('Quit'));
    expect(window.outside.at(-1)).toBe('quit_app');
    await window.close();
  });
});
