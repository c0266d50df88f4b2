/** A control API that behaves as the contract says, on data of its own. It knows no transport. */

import { randomUUID } from 'node:crypto';

import type * as api from '../../src/api.generated';
import type { AppState, AppUpdate } from '../../src/transport';
import * as data from './data';
import { makeWorld, type Scenario, type World } from './world';

/** What no page may ever hold. */
export const SECRET = 'sk-proxy-THE-SECRET-OF-A-KEY';

export interface Reply {
  status: number;
  body: unknown;
}

/** What answers to `METHOD /path`; the group in the expression is the id. */
type Routes = [RegExp, (id: string, body: Body, query: URLSearchParams) => Reply][];

/** Whatever a request may hold. */
interface Body {
  method: api.LoginMethod;
  api_key?: string;
  name: string;
  to: api.KeyDestination;
  key: string | null;
  seconds: number;
  filter: string;
  address: string;
}

type Listener = (event: string, data: unknown) => void;

export class Mock {
  world: World;
  /** The application in whose window the page is. */
  application: AppState = {
    has_tray: true,
    panel: 'auto',
    tells_panel: false,
    is_port_taken: true,
    starts_at_login: false,
    notify: { signed_out: true, limits: true, broken: true, updates: true },
    clipboard_seconds: 60,
    zoom: 100,
    update: { phase: 'none', version: null, notes: null, problem: null },
  };
  /** What a check for updates finds. */
  newer: AppUpdate | null = {
    phase: 'ready',
    version: '9.0.0',
    notes: '### Added\n\n- A page to **try** things.\n\n### Fixed\n\n- `codex-5` is found again.',
    problem: null,
  };
  share: api.Share = {
    on: false,
    base_url: null,
    key: null,
    key_name: null,
    problem: null,
    addresses: ['192.168.1.20'],
  };
  /** What was asked, as `METHOD /path`, in order. */
  asked: string[] = [];
  /** What was sent with it, of those that send something. */
  bodies: unknown[] = [];
  /** What is told instead of doing what was asked, by `METHOD /path`. */
  failures = new Map<string, Reply>();
  /** While set, an answer waits for it after each piece. */
  pace: (() => Promise<void>) | null = null;
  /** How the limits went: each state that was told. */
  limitHistory: api.LimitHistory = { primary: [], secondary: [] };
  /** The pieces of an answer. */
  words = ['Hello', ' from', ' the', ' mock', ' model.'];
  #listeners = new Set<Listener>();

  constructor(scenario: Scenario = 'ready') {
    this.world = makeWorld(scenario);
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells everyone the state, after `change` was made to it. */
  tell(change: (status: api.Status) => void = () => undefined): void {
    change(this.world.status);
    this.#recordLimits();
    this.#emit('status', this.world.status);
  }

  #recordLimits(): void {
    const { limits } = this.world.status;
    if (!limits) return;
    for (const which of ['primary', 'secondary'] as const) {
      const [readings, window] = [this.limitHistory[which], limits[which]];
      const last = readings.at(-1);
      if (!window || (last && last.at >= limits.read_at)) continue;
      readings.push({ at: limits.read_at, window: { ...window } });
    }
  }

  /** The proxy does not run any more, for this reason; as the application tells it. */
  lose(message: string): void {
    const error: api.ErrorObject = { message, type: 'server_error', param: null, code: 'not_running' };
    this.failures.set('GET /control/status', { status: 503, body: { error } });
    this.#emit('not_running', null);
  }

  /** Tells of a request that begins, or goes on. */
  request(entry: api.RequestEntry): void {
    this.world.requests = [entry, ...this.world.requests.filter(({ id }) => id !== entry.id)];
    this.#emit('request', entry);
  }

  handle(method: string, target: string, body: unknown): Reply {
    const url = new URL(target, 'http://mock');
    const asked = `${method} ${url.pathname}`;
    this.asked.push(asked);
    if (body !== null && body !== undefined) this.bodies.push(body);
    const failure = this.failures.get(asked);
    if (failure) return failure;
    for (const [pattern, route] of this.#routes()) {
      const match = pattern.exec(asked);
      if (match) return route(match[1] ? decodeURIComponent(match[1]) : '', body as Body, url.searchParams);
    }
    return fail(404, `There is no ${asked}.`, 'unknown_route');
  }

  /** The answer to a prompt, piece by piece. */
  *answer(): Generator<{ event: string; data: string }> {
    const event = (type: string, more: object) => ({ event: type, data: JSON.stringify({ type, ...more }) });
    yield event('response.created', {});
    for (const word of this.words) {
      yield event('response.output_text.delta', { delta: word });
    }
    yield event('response.completed', { response: { usage: { input_tokens: 1_234, output_tokens: 5 } } });
    yield { event: 'message', data: '[DONE]' };
  }

  #emit(event: string, payload: unknown) {
    for (const listener of this.#listeners) listener(event, structuredClone(payload));
  }

  #routes(): Routes {
    const { world } = this;
    return [
      [/^GET \/control\/status$/, () => ok(world.status)],
      [/^GET \/control\/models$/, () => ok(world.models)],
      [/^GET \/control\/share$/, () => ok(this.share)],
      [/^POST \/control\/share$/, (_, { address }) => this.#share(address)],
      [/^DELETE \/control\/share$/, () => this.#share(null)],
      [/^POST \/control\/pause$/, () => this.#pause(true)],
      [/^POST \/control\/resume$/, () => this.#pause(false)],
      [/^GET \/control\/limits\/history$/, () => ok(this.limitHistory)],
      [/^GET \/control\/limits$/, () => ok({ ...world.status.limits, read_at: data.NOW })],
      [/^POST \/control\/workers\/restart$/, () => accepted(null)],
      [/^POST \/control\/workers\/(\d+)\/restart$/, () => accepted(null)],
      ...this.#accountRoutes(),
      ...this.#codexRoutes(),
      [
        /^GET \/control\/proofs$/,
        () => ok({ job: world.status.proof, proofs: world.proofs } satisfies api.Proofs),
      ],
      [
        /^POST \/control\/prove$/,
        () => {
          const job: api.ProofJob = {
            phase: 'asking',
            version: world.status.codex.version,
            done: 21,
            all: 60,
            verdict: null,
            error: null,
          };
          this.tell(() => (world.status.proof = job));
          return accepted(job);
        },
      ],
      ...this.#keyRoutes(),
      ...this.#recordRoutes(),
      ...this.#settingRoutes(),
      ...this.#clientRoutes(),
      ...this.#storeRoutes(),
    ];
  }

  #storeRoutes(): Routes {
    const { store } = this.world;
    const number = () => store.responses + store.conversations + store.chats;
    return [
      [/^GET \/control\/store$/, () => ok(store)],
      [/^GET \/control\/store\/export$/, () => ok('{"object":"response","id":"resp_1"}\n')],
      [
        /^POST \/control\/store\/prune$/,
        () => {
          store.responses -= 3;
          return ok({ removed: 3 } satisfies api.StoreRemoval);
        },
      ],
      [
        /^POST \/control\/store\/clear$/,
        () => {
          const removed = number();
          Object.assign(store, { ...data.store(), responses: 0, conversations: 0, chats: 0, oldest: null });
          store.newest = null;
          return ok({ removed } satisfies api.StoreRemoval);
        },
      ],
    ];
  }

  #pause(paused: boolean): Reply {
    this.tell((status) => Object.assign(status, { paused, ready: !paused }));
    return ok({ paused } satisfies api.Paused);
  }

  #share(address: string | null): Reply {
    const base_url = address && `http://${address}:11435/v1`;
    const [key, key_name] = address ? ['key_network', 'network'] : [null, null];
    this.share = { ...this.share, on: address !== null, base_url, key, key_name };
    return ok(this.share);
  }

  #accountRoutes(): Routes {
    const { account } = this.world.status;
    return [
      [
        /^POST \/control\/account\/login$/,
        (_, { method, api_key }) => {
          if (api_key) {
            this.tell(() => Object.assign(account, { state: 'signed_in', method: 'api_key', login: null }));
            return ok(account);
          }
          const device = method === 'device_code';
          const login: api.Login = {
            id: 'login_1',
            method,
            auth_url: device ? null : 'http://127.0.0.1:9/oauth/authorize?state=x',
            verification_url: device ? 'http://127.0.0.1:9/device' : null,
            user_code: device ? 'WDJB-MJHT' : null,
            started_at: data.NOW,
            expires_at: data.NOW + 900,
          };
          this.tell(() => Object.assign(account, { state: 'signing_in', login }));
          return ok(login);
        },
      ],
      [
        /^POST \/control\/account\/import$/,
        () => {
          this.tell(() => Object.assign(account, { state: 'signed_in', email: 'robin@example.org' }));
          return ok({ account, note: 'This is a copy of the other sign-in.' } satisfies api.Imported);
        },
      ],
      [
        /^DELETE \/control\/account\/login$/,
        () => {
          this.tell(() => Object.assign(account, { state: 'signed_out', login: null }));
          return ok(account);
        },
      ],
      [
        /^POST \/control\/account\/logout$/,
        () => {
          this.tell(() => Object.assign(account, { state: 'signed_out', email: null, plan: null }));
          return ok(account);
        },
      ],
    ];
  }

  #codexRoutes(): Routes {
    const { codex } = this.world.status;
    const begin = (action: api.Job['action']) => () => {
      const job: api.Job = {
        action,
        phase: 'resolving',
        version: null,
        bytes: 0,
        total_bytes: null,
        error: null,
      };
      this.tell(() => (codex.job = job));
      return accepted(job);
    };
    return [
      [/^POST \/control\/codex\/install$/, begin('install')],
      [/^POST \/control\/codex\/update$/, begin('update')],
      [/^POST \/control\/codex\/rollback$/, begin('rollback')],
      [
        /^DELETE \/control\/codex\/job$/,
        () => {
          this.tell(() => (codex.job = null));
          return { status: 204, body: null };
        },
      ],
    ];
  }

  #keyRoutes(): Routes {
    const { keys } = this.world;
    const find = (id: string) => keys.keys.find((key) => key.id === id);
    const noKey = fail(404, 'There is no such key.', 'unknown_key');
    return [
      [/^GET \/control\/keys$/, () => ok(keys)],
      [
        /^POST \/control\/keys$/,
        (_, { name }) => {
          if (keys.keys.some((key) => key.name === name)) {
            return fail(
              409,
              `There is already a key named ${name}. Choose another name.`,
              'key_exists',
              'name',
            );
          }
          const key: api.Key = {
            id: randomUUID(),
            name,
            enabled: true,
            created_at: data.NOW,
            last_used_at: null,
            secret_in: keys.store,
          };
          keys.keys.push(key);
          return ok(key);
        },
      ],
      [/^POST \/control\/keys\/migrate$/, (_, { to }) => ok(Object.assign(keys, { store: to }))],
      [
        /^POST \/control\/keys\/([^/]+)\/reveal$/,
        (id) => (find(id) ? ok({ secret: SECRET } satisfies api.RevealedKey) : noKey),
      ],
      [/^POST \/control\/keys\/([^/]+)\/rotate$/, (id) => (find(id) ? ok(find(id)) : noKey)],
      [
        /^PATCH \/control\/keys\/([^/]+)$/,
        (id, change) => {
          const key = find(id);
          return key ? ok(Object.assign(key, change)) : noKey;
        },
      ],
      [
        /^DELETE \/control\/keys\/([^/]+)$/,
        (id) => {
          keys.keys = keys.keys.filter((key) => key.id !== id);
          return { status: 204, body: null };
        },
      ],
    ];
  }

  #recordRoutes(): Routes {
    const { world } = this;
    return [
      [
        /^GET \/control\/requests$/,
        (_, __, query) => {
          const begin = world.requests.findIndex(({ id }) => id === query.get('before')) + 1;
          const page = world.requests.slice(begin, begin + Number(query.get('limit')));
          return ok({ capture: world.capture, requests: page } satisfies api.RequestList);
        },
      ],
      [
        /^GET \/control\/requests\/([^/]+)$/,
        (id) => {
          const entry = world.requests.find((request) => request.id === id);
          if (!entry) return fail(404, 'This request is not kept any more.', 'unknown_request');
          const curl = `curl ${world.status.address}/responses -H "Authorization: Bearer $CODEX_PROXY_KEY"`;
          return ok({
            ...entry,
            capture: entry.has_capture ? data.capture() : null,
            curl,
          } satisfies api.RequestDetail);
        },
      ],
      [
        /^POST \/control\/capture$/,
        (_, { key, seconds }) =>
          ok((world.capture = { active: true, key, until: Math.floor(Date.now() / 1_000) + seconds })),
      ],
      [/^DELETE \/control\/capture$/, () => ok((world.capture = { active: false, key: null, until: null }))],
      [
        /^GET \/control\/usage$/,
        (_, __, query) => {
          const asked = query.get('start') ?? '';
          const start = /^\d+$/.test(asked) ? Number(asked) : Date.parse(`${asked}T00:00:00Z`) / 1_000;
          const group = query.get('group') as api.UsageGroup;
          const steps = group === 'hour' ? 24 : Math.round((data.NOW - start) / 86_400 + 0.5);
          return ok(data.usage(group, start, steps, world.daily));
        },
      ],
      [/^GET \/control\/usage\/export$/, () => ok('bucket,requests\n2026-03-04,12\n')],
      [
        /^GET \/control\/logs$/,
        () =>
          ok({
            file: '/home/robin/.local/share/codex-proxy/logs/codex-proxy.log',
            lines: world.logs,
          } satisfies api.LogTail),
      ],
      [/^GET \/control\/logs\/level$/, () => ok({ filter: world.filter } satisfies api.LogLevel)],
      [
        /^PUT \/control\/logs\/level$/,
        (_, { filter }) => ok({ filter: (world.filter = filter) } satisfies api.LogLevel),
      ],
      [/^GET \/control\/diagnostics$/, () => ok({ version: world.status.version })],
    ];
  }

  #settingRoutes(): Routes {
    const { settings } = this.world;
    return [
      [/^GET \/control\/settings$/, () => ok(settings)],
      [
        /^PATCH \/control\/settings$/,
        (_, body) => {
          const changes = body as unknown as Record<string, api.SettingValue>;
          for (const [key, value] of Object.entries(changes)) {
            const setting = settings.settings.find((known) => known.key === key);
            if (!setting) return fail(400, `There is no setting ${key}.`, 'unknown_setting', key);
            if (key === 'host' && value === 'nonsense') {
              return fail(
                400,
                'host must be an IP address such as 127.0.0.1 or ::1, or localhost.',
                'invalid',
                key,
              );
            }
            Object.assign(setting, {
              value: value ?? setting.default,
              set: value !== null,
              source: value === null ? 'default' : 'file',
            });
          }
          return ok(Object.assign(settings, { restart_needed: true }));
        },
      ],
    ];
  }

  #clientRoutes(): Routes {
    const { clients } = this.world;
    const set = (id: string, configured: boolean) => {
      const client = clients.find((known) => known.id === id);
      if (client) Object.assign(client, { configured, can_undo: configured, exists: true });
    };
    return [
      [/^GET \/control\/clients$/, () => ok(clients)],
      [
        /^POST \/control\/clients\/([^/]+)\/preview$/,
        () => ok({ diff: '+model = "codex-5"\n+model_provider = "codex-proxy"' } satisfies api.Preview),
      ],
      [
        /^POST \/control\/clients\/([^/]+)\/apply$/,
        (id) => {
          set(id, true);
          return ok({
            backup: '/home/robin/.codex/config.toml.before-codex-proxy',
          } satisfies api.Applied);
        },
      ],
      [
        /^POST \/control\/clients\/([^/]+)\/undo$/,
        (id) => {
          set(id, false);
          return { status: 204, body: null };
        },
      ],
    ];
  }
}

function ok(body: unknown): Reply {
  return { status: 200, body: structuredClone(body) };
}

function accepted(body: unknown): Reply {
  return { status: 202, body };
}

export function fail(status: number, message: string, code: string, param: string | null = null): Reply {
  const body: api.ErrorBody = { error: { message, type: 'invalid_request_error', param, code } };
  return { status, body };
}
