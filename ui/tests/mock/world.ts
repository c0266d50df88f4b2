/** The states that a proxy can be in. */

import type * as api from '../../src/api.generated';
import * as data from './data';

/** All that the mock knows. */
export interface World {
  status: api.Status;
  keys: api.KeyList;
  requests: api.RequestEntry[];
  capture: api.CaptureState;
  models: api.ModelList;
  settings: api.Settings;
  /** Requests a day in the usage. */
  daily: number;
  logs: string[];
  filter: string;
  clients: api.ClientConfig[];
  proofs: api.Proof[];
  store: api.Store;
}

export type Scenario =
  'ready' | 'signed_out' | 'no_codex' | 'installing' | 'broken' | 'limited' | 'empty' | 'huge';

export function makeWorld(scenario: Scenario): World {
  const world = ready();
  SCENARIOS[scenario](world);
  return world;
}

function ready(): World {
  return {
    status: data.status(),
    keys: data.keyList(),
    requests: data.requestList(),
    capture: { active: false, key: null, until: null },
    models: data.modelList(),
    settings: data.settings(),
    daily: 40,
    logs: data.logLines(),
    filter: 'info',
    proofs: [data.proof(), data.impureProof('0.172.0')],
    store: data.store(),
    clients: [
      {
        id: 'codex-cli',
        config_file: '/home/robin/.codex/config.toml',
        exists: true,
        configured: false,
        can_undo: false,
      },
      {
        id: 'zed',
        config_file: '/home/robin/.config/zed/settings.json',
        exists: false,
        configured: false,
        can_undo: false,
      },
    ],
  };
}

const SCENARIOS: Record<Scenario, (world: World) => void> = {
  ready: () => undefined,
  signed_out: (world) => {
    empty(world);
    signOut(world);
  },
  no_codex: (world) => {
    empty(world);
    signOut(world);
    removeCodex(world);
  },
  installing: (world) => {
    empty(world);
    signOut(world);
    removeCodex(world);
    world.status.codex.job = {
      action: 'install',
      phase: 'downloading',
      version: '0.169.0',
      bytes: 31_457_280,
      total_bytes: 83_886_080,
      error: null,
    };
  },
  broken: (world) => {
    const reason =
      'Codex ended right after its start (exit status 1). It said: error: unexpected argument --listen. Look at CODEX_BIN in the settings.';
    Object.assign(world.status, {
      ready: false,
      reason,
      workers: [
        data.worker(0, {
          state: 'backing_off',
          pid: null,
          uptime_seconds: null,
          resident_bytes: null,
          turns_running: 0,
          restarts: 6,
          retry_in_seconds: 14,
          last_exit_at: data.NOW - 20,
          last_exit: `exit status 1\nerror: unexpected argument '--listen' found\n\nUsage: codex [OPTIONS] [PROMPT]`,
        }),
        data.worker(1, {
          state: 'failed',
          pid: null,
          last_exit: 'exit status 1',
          last_exit_at: data.NOW - 500,
        }),
      ],
      warnings: [
        'The keychain does not answer, so keys are kept in a file.',
        'PROXY_CORS_ALLOWED_ORIGINS is *, so every web page may call the proxy.',
      ],
    });
    world.proofs = [data.impureProof('0.169.0')];
    world.store = data.noStore('The disk is full.');
    world.keys.store = 'file';
    world.keys.warning =
      'No keychain answers on this system, so secrets are kept in a file that only you can read.';
  },
  limited: (world) => {
    const { limits } = world.status;
    if (!limits?.primary) return;
    limits.primary.used_percent = 100;
    limits.reached = 'primary';
    limits.ordinary_usage_allowed = false;
    world.status.limited = true;
  },
  empty,
  huge: (world) => {
    world.requests = Array.from({ length: 2_500 }, (_, n) => data.request(n, { has_capture: false }));
    world.status.today = data.totals(1_234_567);
    world.status.workers = Array.from({ length: 64 }, (_, id) => data.worker(id));
    world.status.queue_depth = 1_024;
    world.daily = 250_000;
    const [first] = world.keys.keys;
    if (first) {
      world.keys.keys = Array.from({ length: 60 }, (_, n) => ({
        ...first,
        id: `key_${n}`,
        name: `a-very-long-name-of-a-key-that-somebody-chose-without-thinking-${n}`,
      }));
    }
    const [model] = world.models.models;
    if (model) {
      world.models.models = Array.from({ length: 60 }, (_, n) => ({
        ...model,
        id: `gpt-${n}`,
        aliases: [`alias-${n}`],
      }));
    }
  },
};

function empty(world: World) {
  world.requests = [];
  world.proofs = [];
  world.daily = 0;
  world.logs = [];
  Object.assign(world.store, {
    responses: 0,
    conversations: 0,
    chats: 0,
    bytes: 65_536,
    oldest: null,
    newest: null,
  });
  world.status.today = data.totals(0);
  world.status.limits = null;
  world.models = { default: null, models: [] };
  world.keys.keys = world.keys.keys.slice(0, 1);
}

function signOut({ status }: World) {
  Object.assign(status.account, { state: 'signed_out', method: null, email: null, plan: null });
}

function removeCodex({ status }: World) {
  Object.assign(status, { ready: false, reason: 'Codex is not installed.', workers: [] });
  Object.assign(status.codex, {
    source: null,
    path: null,
    version: null,
    supported: false,
    managed: { current: null, previous: null },
  });
}
