/**
 * The connection to the proxy: through the application's commands, or through HTTP from the page that the proxy
 * serves at `/ui/`. The rest of the window does not depend on which of the two it is.
 */

import type { ErrorBody, Event, RevealedKey, Status } from './api.generated';
import { readEvents, type ServerEvent } from './lib/sse';
import { t, type Language } from './words.svelte';

export type { ServerEvent };

/** What can be opened outside of the window. The application finds the address or path itself. */
export type External = 'sign_in' | 'verification' | 'logs' | 'config' | 'obsidian_copilot';

/** A connection to the proxy. */
export interface Transport {
  /** `app` in the tray application's window, `browser` on the page that the proxy serves. */
  readonly kind: 'app' | 'browser';
  /** Sends one request to the control API and returns the JSON of its answer; null if it has no body. */
  request<T>(method: string, path: string, body?: unknown): Promise<T>;
  /** Sends a request that is answered by a stream of events. Aborting `signal` ends it without an error. */
  stream(path: string, body: unknown, signal: AbortSignal): AsyncIterable<ServerEvent>;
  /** Follows `/control/events` and reconnects automatically. Returns a function that stops it. */
  follow(listener: FollowListener): () => void;
  /** Copies a key's secret to the clipboard. The window never shows it. */
  copyKey(id: string): Promise<void>;
  /** Copies text that is not a secret to the clipboard. */
  copyText(text: string): Promise<void>;
  /** Opens something outside of the window. A browser can open only addresses. */
  open(what: External, address: string | null): Promise<void>;
  /** Saves the answer of a GET as a file; resolves to its path, or null if the person cancels. */
  save(path: string, fileName: string): Promise<string | null>;
  /** Functions that only the application has; null in a browser. */
  readonly app: AppControls | null;
  /** Hides the window of the application. No effect in a browser. */
  closeWindow(): Promise<void>;
}

/** Functions of the application itself. */
export interface AppControls {
  state(): Promise<AppState>;
  /** Calls back when the state is another one. Returns the end. */
  onChange(listener: () => void): () => void;
  /** Sets the colour of the panel behind the icon. */
  choosePanel(panel: Panel): Promise<void>;
  /** Sets the language of the tray and the notices; null for that of the system. */
  chooseLanguage(language: Language | null): Promise<void>;
  /** Sets which kinds of notices are shown. */
  chooseNotices(notify: Notify): Promise<void>;
  /** Sets after how many seconds a copied key is removed from the clipboard; 0 for never. */
  chooseClipboard(seconds: number): Promise<void>;
  startAtLogin(wanted: boolean): Promise<void>;
  /** Sets the size of the texts in percent, and returns the size that it is now. */
  setZoom(percent: number): Promise<number>;
  checkForUpdates(): Promise<void>;
  /** Installs the newer version, and starts it. */
  installUpdate(): Promise<void>;
  /** Returns what *Remove my data* would remove. */
  findData(): Promise<FoundData>;
  /** Removes all data, and ends the application. */
  removeData(): Promise<void>;
  /** Lets the person choose a file; null if the person cancels. */
  chooseFile(): Promise<string | null>;
  /** Restarts the application, with the proxy in it. */
  restart(): Promise<void>;
  quit(): Promise<void>;
  /** Starts the proxy again after it could not run. */
  tryAgain(): Promise<void>;
  /** Changes the proxy's port to the next free one, and returns it. */
  useAnotherPort(): Promise<number>;
  /** Calls back when the person first has to learn that the application runs on without a window. Returns the end. */
  onFarewell(listener: () => void): () => void;
}

export type Panel = 'auto' | 'light' | 'dark';

/** The kinds of notices, and whether each is shown. */
export interface Notify {
  signed_out: boolean;
  limits: boolean;
  broken: boolean;
  updates: boolean;
}

/** What is known of newer versions of the application. */
export interface AppUpdate {
  phase: 'none' | 'checking' | 'failed' | 'ready' | 'installing';
  version: string | null;
  /** What is new, in Markdown. */
  notes: string | null;
  /** Why the last check or installation did not succeed. */
  problem: string | null;
}

export interface AppState {
  /** Whether the desktop shows the tray icon. */
  has_tray: boolean;
  panel: Panel;
  /** Whether the desktop reports the colour of its panel. */
  tells_panel: boolean;
  /** Whether the proxy is not running because another program uses its port. */
  is_port_taken: boolean;
  /** Whether the application starts at login; null if that cannot be set. */
  starts_at_login: boolean | null;
  notify: Notify;
  /** The seconds after which a copied key is removed from the clipboard; 0 for never. */
  clipboard_seconds: number;
  /** The size of the texts in percent. */
  zoom: number;
  /** Newer versions; null if this build has no release channel. */
  update: AppUpdate | null;
}

/** The data that the proxy has stored on this machine. */
export interface FoundData {
  deleted: { path: string; bytes: number }[];
  /** The number of keys in the system's keychain; null if the list of keys cannot be read. */
  in_keychain: number | null;
  /** Settings of other programs that use the proxy. They are not removed. */
  clients: string[];
  /** Files of other programs in the data directory. They are not removed. */
  others: string[];
}

/** The callbacks for the events. */
export interface FollowListener {
  event(event: Event): void;
  /** The connection is open, or it is being retried because of `problem`. */
  connected(problem: ControlError | null): void;
}

/** An error of the control API or of the connection. Its message says what to do. */
export class ControlError extends Error {
  constructor(
    /** The HTTP status; 0 if there was no answer. */
    readonly status: number,
    message: string,
    readonly code: string | null = null,
    readonly param: string | null = null,
  ) {
    super(message);
  }

  /** Converts any thrown value to this error. */
  static of(thrown: unknown): ControlError {
    if (thrown instanceof ControlError) return thrown;
    if (isFailure(thrown)) {
      const { message, code, param } = thrown.error;
      return new ControlError(thrown.status, message, code, param);
    }
    return new ControlError(0, thrown instanceof Error ? thrown.message : String(thrown));
  }
}

/** The transport for the place where this page runs. */
export function connect(): Transport {
  return window.__TAURI__ ? new AppTransport(window.__TAURI__) : new HttpTransport();
}

const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 8_000;

/** The form of a failed command of the application. */
type Failure = { status: number } & ErrorBody;

function isFailure(value: unknown): value is Failure {
  return typeof value === 'object' && value !== null && 'status' in value && 'error' in value;
}

/** A transport with the commands and events of the application. */
export class AppTransport implements Transport {
  readonly kind = 'app';
  readonly #tauri: Tauri;

  constructor(tauri: Tauri) {
    this.#tauri = tauri;
  }

  request<T>(method: string, path: string, body?: unknown): Promise<T> {
    return this.#invoke<T>('control', { method, path, body: body ?? null });
  }

  async *stream(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<ServerEvent> {
    const waiting: ServerEvent[] = [];
    let wake: () => void = () => undefined;
    let ended = false;
    let problem: ControlError | null = null;
    const channel = new this.#tauri.core.Channel<ServerEvent>();
    channel.onmessage = (event) => {
      waiting.push(event);
      wake();
    };
    const end = () => {
      ended = true;
      wake();
    };
    const id = crypto.randomUUID();
    const stop = () => {
      // If the stream has already ended, there is nothing to stop, so an error is ignored.
      this.#invoke('control_stream_stop', { id }).catch(() => undefined);
      end();
    };
    signal.addEventListener('abort', stop);
    this.#invoke('control_stream', { id, method: 'POST', path, body, channel })
      .catch((thrown: unknown) => (problem = ControlError.of(thrown)))
      .finally(end);
    try {
      for (;;) {
        const event = waiting.shift();
        if (signal.aborted) return;
        if (event) yield event;
        else if (ended) break;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
      if (problem) throw problem as ControlError;
    } finally {
      signal.removeEventListener('abort', stop);
      if (!ended) stop();
    }
  }

  follow(listener: FollowListener): () => void {
    const look = () =>
      this.request<Status>('GET', '/control/status').then(
        (data) => {
          listener.connected(null);
          listener.event({ event: 'status', data });
        },
        (thrown: unknown) => listener.connected(ControlError.of(thrown)),
      );
    const stopping = this.#tauri.event.listen<AppEvent>('control://event', ({ payload }) => {
      if (payload.event === 'not_running') {
        // The next request returns the reason.
        void look();
        return;
      }
      if (payload.event === 'changed') return;
      listener.connected(null);
      listener.event(payload);
    });
    void look();
    return () => void stopping.then((stop) => stop());
  }

  copyKey(id: string): Promise<void> {
    return this.#invoke('copy_key', { id });
  }

  copyText(text: string): Promise<void> {
    return this.#invoke('copy_text', { text });
  }

  open(what: External): Promise<void> {
    return this.#invoke('open_external', { what });
  }

  save(path: string, name: string): Promise<string | null> {
    return this.#invoke('save_file', { path, name });
  }

  readonly app: AppControls = {
    state: () => this.#invoke('app_state', {}),
    onChange: (listener) => {
      const stopping = this.#tauri.event.listen<AppEvent>('control://event', ({ payload }) => {
        if (payload.event === 'changed') listener();
      });
      return () => void stopping.then((stop) => stop());
    },
    choosePanel: (panel) => this.#invoke('choose_panel', { panel }),
    chooseLanguage: (language) => this.#invoke('choose_language', { language }),
    chooseNotices: (notify) => this.#invoke('choose_notices', { notify }),
    chooseClipboard: (seconds) => this.#invoke('choose_clipboard', { seconds }),
    startAtLogin: (wanted) => this.#invoke('start_at_login', { wanted }),
    setZoom: (percent) => this.#invoke('set_zoom', { percent }),
    checkForUpdates: () => this.#invoke('check_for_updates', {}),
    installUpdate: () => this.#invoke('install_update', {}),
    findData: () => this.#invoke('find_data', {}),
    removeData: () => this.#invoke('remove_data', {}),
    chooseFile: () => this.#invoke('choose_file', {}),
    restart: () => this.#invoke('restart_app', {}),
    quit: () => this.#invoke('quit_app', {}),
    tryAgain: () => this.#invoke('try_again', {}),
    useAnotherPort: () => this.#invoke('use_another_port', {}),
    onFarewell: (listener) => {
      const stopping = this.#tauri.event.listen('app://farewell', listener);
      return () => void stopping.then((stop) => stop());
    },
  };

  closeWindow(): Promise<void> {
    return this.#invoke('window_close', {});
  }

  async #invoke<T>(command: string, args: Record<string, unknown>): Promise<T> {
    try {
      return await this.#tauri.core.invoke<T>(command, args);
    } catch (thrown) {
      throw ControlError.of(thrown);
    }
  }
}

/** A transport with HTTP requests to the proxy that served this page, with the token from its address. */
export class HttpTransport implements Transport {
  readonly kind = 'browser';
  readonly app = null;

  async request<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await this.#fetch(method, path, body);
    const text = await response.text();
    return (text === '' ? null : JSON.parse(text)) as T;
  }

  async *stream(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<ServerEvent> {
    try {
      const response = await this.#fetch('POST', path, body, signal);
      if (response.body) yield* readEvents(response.body);
    } catch (thrown) {
      if (!signal.aborted) throw ControlError.of(thrown);
    }
  }

  follow(listener: FollowListener): () => void {
    const abort = new AbortController();
    void this.#keepFollowing(listener, abort.signal);
    return () => abort.abort();
  }

  async copyKey(id: string): Promise<void> {
    const secret = this.request<RevealedKey>('POST', `/control/keys/${encodeURIComponent(id)}/reveal`);
    // Safari allows a delayed write to the clipboard only if it gets the promise itself.
    const text = secret.then((key) => new Blob([key.secret], { type: 'text/plain' }));
    await clipboard().write([new ClipboardItem({ 'text/plain': text })]);
  }

  copyText(text: string): Promise<void> {
    return clipboard().writeText(text);
  }

  async open(_what: External, address: string | null): Promise<void> {
    if (address && /^https?:/.test(address)) window.open(address, '_blank', 'noopener,noreferrer');
  }

  async save(path: string, fileName: string): Promise<string | null> {
    const response = await this.#fetch('GET', path);
    const link = document.createElement('a');
    link.href = URL.createObjectURL(await response.blob());
    link.download = fileName;
    link.click();
    URL.revokeObjectURL(link.href);
    return fileName;
  }

  async closeWindow(): Promise<void> {
    // A page cannot close a browser tab that it did not open.
  }

  async #keepFollowing(listener: FollowListener, signal: AbortSignal): Promise<void> {
    let wait = RETRY_FIRST_MS;
    while (!signal.aborted) {
      let problem = new ControlError(0, t('common.unreachable'));
      try {
        const response = await this.#fetch('GET', '/control/events', undefined, signal);
        listener.connected(null);
        wait = RETRY_FIRST_MS;
        if (response.body) {
          for await (const { event, data } of readEvents(response.body)) {
            listener.event({ event, data: JSON.parse(data) } as Event);
          }
        }
      } catch (thrown) {
        const error = ControlError.of(thrown);
        if (error.status !== 0) problem = error;
      }
      if (signal.aborted) return;
      listener.connected(problem);
      if (problem.status === 401) return;
      await pause(wait, signal);
      wait = Math.min(wait * 2, RETRY_MOST_MS);
    }
  }

  async #fetch(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { authorization: `Bearer ${readToken() ?? ''}` };
    if (body !== undefined) headers['content-type'] = 'application/json';
    let response: Response;
    try {
      response = await fetch(path, {
        method,
        headers,
        cache: 'no-store',
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal ? { signal } : {}),
      });
    } catch {
      throw new ControlError(0, t('common.unreachable'));
    }
    if (!response.ok) throw await failureOf(response);
    return response;
  }
}

const TOKEN = 'control-token';

/** Stores the token for this tab. */
export function keepToken(token: string): void {
  sessionStorage.setItem(TOKEN, token);
}

/** Removes the token from the address, so that neither the history nor a shared link contains it. */
export function takeTokenFromAddress(): void {
  const match = /^#token=([^&]+)(?:&to=(.*))?$/.exec(location.hash);
  if (!match?.[1]) return;
  keepToken(decodeURIComponent(match[1]));
  history.replaceState(null, '', `#${match[2] ?? '/'}`);
}

function readToken(): string | null {
  return sessionStorage.getItem(TOKEN);
}

/** The clipboard, which browsers offer only to pages on this machine or with TLS. */
function clipboard(): Clipboard {
  const ours = navigator.clipboard as Clipboard | undefined;
  if (ours) return ours;
  throw new ControlError(0, t('common.clipboard_closed'));
}

async function failureOf(response: Response): Promise<ControlError> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as ErrorBody;
    return new ControlError(response.status, error.message, error.code, error.param);
  } catch {
    return new ControlError(response.status, text || t('common.bare_status', { status: response.status }));
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** The events from the application. */
type AppEvent = Event | { event: 'not_running'; data: null } | { event: 'changed'; data: null };

/** The object that the application adds to the page (`withGlobalTauri`). */
export interface Tauri {
  core: {
    invoke<T>(command: string, args: Record<string, unknown>): Promise<T>;
    Channel: new <T>() => { onmessage: (message: T) => void };
  };
  event: { listen<T>(name: string, handler: (event: { payload: T }) => void): Promise<() => void> };
}

declare global {
  interface Window {
    __TAURI__?: Tauri;
  }
}
