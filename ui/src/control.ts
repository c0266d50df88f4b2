/** The control API as functions: one line for each thing that the window can ask for or do. */

import type * as api from './api';
import { connect } from './transport';

/** The only transport of this page. */
export const transport = connect();

const seg = encodeURIComponent;
const send = transport.request.bind(transport);

export const account = {
  login: (method: 'browser' | 'device_code') => send<api.Login>('POST', '/control/account/login', { method }),
  useApiKey: (key: string) =>
    send<api.Account>('POST', '/control/account/login', { method: 'api_key', api_key: key }),
  cancel: () => send<api.Account>('DELETE', '/control/account/login'),
  logout: () => send<api.Account>('POST', '/control/account/logout'),
  refreshLimits: () => send<api.Limits>('GET', '/control/limits?refresh=true'),
};

export const codex = {
  install: () => send<api.Job>('POST', '/control/codex/install', {}),
  installFile: (file: string) => send<api.Job>('POST', '/control/codex/install', { file }),
  update: () => send<api.Job>('POST', '/control/codex/update', {}),
  rollback: () => send<api.Job>('POST', '/control/codex/rollback'),
  cancel: () => send<null>('DELETE', '/control/codex/job'),
};

export const proxy = {
  pause: () => send<{ paused: boolean }>('POST', '/control/pause'),
  resume: () => send<{ paused: boolean }>('POST', '/control/resume'),
};

export const proofs = {
  list: () => send<api.Proofs>('GET', '/control/proofs'),
  prove: () => send<api.ProofJob | null>('POST', '/control/prove'),
};

export const keys = {
  list: () => send<api.KeyList>('GET', '/control/keys'),
  create: (name: string) => send<api.Key>('POST', '/control/keys', { name }),
  change: (id: string, change: { name?: string; enabled?: boolean }) =>
    send<api.Key>('PATCH', `/control/keys/${seg(id)}`, change),
  rotate: (id: string) => send<api.Key>('POST', `/control/keys/${seg(id)}/rotate`),
  remove: (id: string) => send<null>('DELETE', `/control/keys/${seg(id)}`),
  migrate: (to: api.KeyStore) => send<api.KeyList>('POST', '/control/keys/migrate', { to }),
};

export const workers = {
  restart: (id: number) => send<null>('POST', `/control/workers/${id}/restart`),
  restartAll: () => send<null>('POST', '/control/workers/restart'),
};

export const models = { list: () => send<api.ModelList>('GET', '/control/models') };

/** Asks a model without a key. The events are those of the Responses API. */
export const tryPrompt = (model: string, input: string, signal: AbortSignal) =>
  transport.stream('/control/try', { model, input }, signal);

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
    send<api.CaptureState>('POST', '/control/capture', { key, seconds }),
  stopCapture: () => send<api.CaptureState>('DELETE', '/control/capture'),
};

export const settings = {
  read: () => send<api.Settings>('GET', '/control/settings'),
  change: (changes: Record<string, api.SettingValue>) =>
    send<api.Settings>('PATCH', '/control/settings', changes),
};

export const logs = {
  read: (lines: number) => send<api.Logs>('GET', `/control/logs?lines=${lines}`),
  level: () => send<api.LogLevel>('GET', '/control/logs/level'),
  setLevel: (filter: string) => send<api.LogLevel>('PUT', '/control/logs/level', { filter }),
};

export const clientConfigs = {
  list: () => send<api.ClientConfig[]>('GET', '/control/clients'),
  preview: (id: string, keyId: string) =>
    send<{ diff: string }>('POST', `/control/clients/${seg(id)}/preview`, { key_id: keyId }),
  apply: (id: string, keyId: string) =>
    send<{ backup: string | null }>('POST', `/control/clients/${seg(id)}/apply`, { key_id: keyId }),
  undo: (id: string) => send<null>('POST', `/control/clients/${seg(id)}/undo`),
};

export const saveDiagnostics = () => transport.save('/control/diagnostics', 'codex-proxy-diagnostics.json');
