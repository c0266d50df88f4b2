/** The control API as functions: one line for each operation of the window. */

import type * as api from './api.generated';
import { connect } from './transport';

/** The only transport of this page. */
export const transport = connect();

const seg = encodeURIComponent;
const send = transport.request.bind(transport);

export const account = {
  login: (method: api.LoginMethod) =>
    send<api.Login>('POST', '/control/account/login', { method } satisfies api.LogIn),
  useApiKey: (key: string) =>
    send<api.Account>('POST', '/control/account/login', {
      method: 'api_key',
      api_key: key,
    } satisfies api.LogIn),
  import: () => send<api.Imported>('POST', '/control/account/import', {} satisfies api.ImportLogin),
  cancel: () => send<api.Account>('DELETE', '/control/account/login'),
  logout: () => send<api.Account>('POST', '/control/account/logout'),
  limitHistory: () => send<api.LimitHistory>('GET', '/control/limits/history'),
  refreshLimits: () => send<api.Limits>('GET', '/control/limits?refresh=true'),
};

export const codex = {
  install: () => send<api.Job>('POST', '/control/codex/install', {} satisfies api.InstallCodex),
  installFile: (file: string) =>
    send<api.Job>('POST', '/control/codex/install', { file } satisfies api.InstallCodex),
  update: () => send<api.Job>('POST', '/control/codex/update', {} satisfies api.UpdateCodex),
  rollback: () => send<api.Job>('POST', '/control/codex/rollback'),
  cancel: () => send<null>('DELETE', '/control/codex/job'),
};

export const proxy = {
  pause: () => send<api.Paused>('POST', '/control/pause'),
  resume: () => send<api.Paused>('POST', '/control/resume'),
};

export const proofs = {
  list: () => send<api.Proofs>('GET', '/control/proofs'),
  prove: () => send<api.ProofJob | null>('POST', '/control/prove'),
};

export const keys = {
  list: () => send<api.KeyList>('GET', '/control/keys'),
  create: (name: string) => send<api.ChangedKey>('POST', '/control/keys', { name } satisfies api.CreateKey),
  change: (id: string, change: api.UpdateKey) =>
    send<api.ChangedKey>('PATCH', `/control/keys/${seg(id)}`, change),
  rotate: (id: string) => send<api.ChangedKey>('POST', `/control/keys/${seg(id)}/rotate`),
  remove: (id: string) => send<api.DeletedKey | null>('DELETE', `/control/keys/${seg(id)}`),
  migrate: (to: api.KeyDestination) =>
    send<api.KeyList>('POST', '/control/keys/migrate', { to } satisfies api.MigrateKeys),
};

export const workers = {
  restart: (id: number) => send<null>('POST', `/control/workers/${id}/restart`),
  restartAll: () => send<null>('POST', '/control/workers/restart'),
};

export const share = {
  read: () => send<api.Share>('GET', '/control/share'),
  start: (address: string) => send<api.Share>('POST', '/control/share', { address } satisfies api.StartShare),
  stop: () => send<api.Share>('DELETE', '/control/share'),
};

export const models = { list: () => send<api.ModelList>('GET', '/control/models') };

/** Sends a prompt or a conversation to a model without a key. The events are those of the Responses API. */
export const tryPrompt = (model: string, input: api.TryInput, signal: AbortSignal) =>
  transport.stream('/control/try', { model, input } satisfies api.TryPrompt, signal);

export const usage = {
  read: (query: string) => send<api.Usage>('GET', `/control/usage?${query}`),
  save: (format: 'csv' | 'json', query: string) =>
    transport.save(`/control/usage/export?format=${format}&${query}`, `codex-proxy-usage.${format}`),
};

export const requests = {
  list: (limit: number, before?: string) =>
    send<api.RequestList>('GET', `/control/requests?limit=${limit}${before ? `&before=${seg(before)}` : ''}`),
  read: (id: string) => send<api.RequestDetail>('GET', `/control/requests/${seg(id)}`),
  startCapture: (key: string | null, seconds: number) =>
    send<api.CaptureState>('POST', '/control/capture', { key, seconds } satisfies api.StartCapture),
  stopCapture: () => send<api.CaptureState>('DELETE', '/control/capture'),
};

export const settings = {
  read: () => send<api.Settings>('GET', '/control/settings'),
  change: (changes: Record<string, api.SettingValue>) =>
    send<api.Settings>('PATCH', '/control/settings', changes),
};

export const store = {
  read: () => send<api.Store>('GET', '/control/store'),
  /** Removes what is older or larger than the settings allow. */
  prune: () => send<api.StoreRemoval>('POST', '/control/store/prune'),
  clear: () => send<api.StoreRemoval>('POST', '/control/store/clear'),
  save: () => transport.save('/control/store/export', 'codex-proxy-responses.jsonl'),
};

export const logs = {
  read: (lines: number) => send<api.LogTail>('GET', `/control/logs?lines=${lines}`),
  level: () => send<api.LogLevel>('GET', '/control/logs/level'),
  setLevel: (filter: string) =>
    send<api.LogLevel>('PUT', '/control/logs/level', { filter } satisfies api.SetLogLevel),
};

export const clientConfigs = {
  list: () => send<api.ClientConfig[]>('GET', '/control/clients'),
  preview: (id: string, keyId: string) =>
    send<api.Preview>('POST', `/control/clients/${seg(id)}/preview`, {
      key_id: keyId,
    } satisfies api.SetUpFor),
  apply: (id: string, keyId: string) =>
    send<api.Applied>('POST', `/control/clients/${seg(id)}/apply`, { key_id: keyId } satisfies api.SetUpFor),
  undo: (id: string) => send<null>('POST', `/control/clients/${seg(id)}/undo`),
};

export const saveDiagnostics = () => transport.save('/control/diagnostics', 'codex-proxy-diagnostics.json');
