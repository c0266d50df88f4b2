/** A stand-in for what the application puts into its window, with the commands on the mock. */

import type { Page } from 'playwright-core';

import type { AppState } from '../../src/transport';
import type { Mock, Reply } from '../mock/mock';

interface Args {
  id: string;
  method: string;
  path: string;
  body: unknown;
  channel: number;
  text: string;
  what: string;
  name: string;
  panel: string;
  language: string | null;
  notify: AppState['notify'];
  seconds: number;
  wanted: boolean;
  percent: number;
}

/** What the script in the page has for us. */
interface Hooks {
  fakeInvoke(command: string, args: unknown): Promise<Reply>;
  fakeEvent(payload: unknown): void;
  fakeMessage(channel: number, message: unknown): void;
}

export async function fakeTauri(page: Page, mock: Mock, outside: string[]): Promise<void> {
  const stopped = new Set<string>();
  await page.exposeFunction('fakeInvoke', (command: string, args: Args): Promise<Reply> | Reply => {
    const done = (body: unknown = null): Reply => ({ status: 200, body });
    switch (command) {
      case 'control':
        return mock.handle(args.method, args.path, args.body);
      case 'control_stream':
        return stream(args);
      case 'control_stream_stop':
        stopped.add(args.id);
        mock.asked.push('closed /control/try');
        return done();
      case 'save_file':
        outside.push(`save ${args.name}`);
        return done(`/home/robin/Downloads/${args.name}`);
      case 'app_state':
        return done(mock.application);
      case 'use_another_port':
        outside.push(command);
        return done(11_436);
      case 'find_data':
        return done({
          deleted: [
            { path: '/home/robin/.local/share/codex-proxy/proxy.db', bytes: 81_920 },
            { path: '/home/robin/.config/codex-proxy/config.toml', bytes: 120 },
          ],
          in_keychain: 2,
          clients: ['/home/robin/.config/zed/settings.json'],
          others: ['/home/robin/.local/share/codex-proxy/letter.txt'],
        });
      case 'choose_file':
        return done('/home/robin/Downloads/codex.tgz');
      case 'choose_panel':
        mock.application.panel = args.panel as AppState['panel'];
        outside.push(`${command} ${args.panel}`);
        return done();
      case 'choose_language':
        outside.push(`${command} ${args.language}`);
        return done();
      case 'choose_notices':
        mock.application.notify = args.notify;
        return done();
      case 'choose_clipboard':
        mock.application.clipboard_seconds = args.seconds;
        return done();
      case 'start_at_login':
        if (mock.failures.has(command)) return mock.failures.get(command) as Reply;
        mock.application.starts_at_login = args.wanted;
        return done();
      case 'set_zoom':
        mock.application.zoom = args.percent;
        return done(args.percent);
      case 'check_for_updates':
        mock.application.update = mock.newer;
        return done();
      case 'install_update':
        if (mock.newer) mock.application.update = { ...mock.newer, phase: 'installing' };
        return done();
      case 'quit_app':
      case 'try_again':
      case 'copy_key':
      case 'copy_text':
      case 'open_external':
      case 'remove_data':
      case 'restart_app':
      case 'window_close':
        outside.push([command, args.id ?? args.text ?? args.what ?? args.panel].filter(Boolean).join(' '));
        return done();
      default:
        return { status: 500, body: { error: { message: `unknown command ${command}` } } };
    }
  });

  async function stream(args: Args): Promise<Reply> {
    mock.bodies.push(args.body);
    for (const event of mock.answer()) {
      if (stopped.has(args.id)) break;
      await page.evaluate(
        ([channel, message]) => (globalThis as unknown as Hooks).fakeMessage(channel as number, message),
        [args.channel, event],
      );
      await mock.pace?.();
    }
    return { status: 200, body: null };
  }

  mock.listen((event, data) => {
    if (page.isClosed()) return;
    page
      .evaluate((payload) => (globalThis as unknown as Hooks).fakeEvent(payload), { event, data })
      .catch((error: unknown) => outside.push(`lost event: ${String(error)}`));
  });

  await page.addInitScript(() => {
    const hooks = globalThis as unknown as Hooks;
    const channels: { onmessage: (message: unknown) => void }[] = [];
    const listeners: { name: string; handler: (event: { payload: unknown }) => void }[] = [];
    class Channel {
      onmessage: (message: unknown) => void = () => undefined;
      readonly id = channels.push(this) - 1;
    }
    hooks.fakeMessage = (channel, message) => channels[channel]?.onmessage(message);
    hooks.fakeEvent = (payload) =>
      listeners
        .filter(({ name }) => name === 'control://event')
        .forEach(({ handler }) => handler({ payload }));
    Object.assign(window, {
      __TAURI__: {
        core: {
          Channel,
          async invoke(command: string, args: { channel?: Channel }) {
            const sent = args.channel ? { ...args, channel: args.channel.id } : args;
            const { status, body } = await hooks.fakeInvoke(command, sent);
            if (status >= 400) throw { status, ...(body as object) };
            return body;
          },
        },
        event: {
          listen: (name: string, handler: (event: { payload: unknown }) => void) => {
            const listener = { name, handler };
            listeners.push(listener);
            return Promise.resolve(() => listeners.splice(listeners.indexOf(listener), 1));
          },
        },
      },
    });
  });
}
