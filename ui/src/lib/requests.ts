/** Functions for lists of requests. */

import { WINDOW_KEY, type RequestEntry } from '../api.generated';
import { t } from '../words.svelte';

/** The maximum number of requests in the window; older ones can be loaded again. */
export const MOST_KEPT = 1_000;

/** `list` (newest first) with `entry` inserted, or with its old state replaced. */
export function upsert(list: RequestEntry[], entry: RequestEntry): RequestEntry[] {
  if (list.some(({ id }) => id === entry.id)) return list.map((old) => (old.id === entry.id ? entry : old));
  const place = list.findIndex(({ at }) => at <= entry.at);
  const before = place < 0 ? list.length : place;
  return [...list.slice(0, before), entry, ...list.slice(before)].slice(0, MOST_KEPT);
}

/** The requests whose key, client, model or error contains `text`; optionally only failed ones. */
export function matching(list: RequestEntry[], text: string, failedOnly: boolean): RequestEntry[] {
  const wanted = text.trim().toLowerCase();
  return list.filter((entry) => {
    if (failedOnly && entry.state !== 'failed') return false;
    const words = [
      entry.key,
      entry.client,
      entry.requested_model,
      entry.effective_model,
      entry.error_code,
      entry.route,
      entry.id,
      entry.status,
    ];
    return words.some((word) => word !== null && String(word).toLowerCase().includes(wanted));
  });
}

/** The newest request with this name of a key that arrived at or after `since` (milliseconds). */
export function newestWithKey(list: RequestEntry[], key: string, since: number): RequestEntry | null {
  return list.find((entry) => entry.key === key && entry.at >= since) ?? null;
}

/** Why a request was refused and what to do, in words; null if it was not refused. */
export function refusalText({ refusal, client }: RequestEntry): string | null {
  if (!refusal) return null;
  const who = client && client !== 'unknown' && client !== 'other' ? client : t('refusal.a_program');
  switch (refusal.reason) {
    case 'no_key':
      return t('refusal.no_key', { who });
    case 'wrong_key':
      return t('refusal.wrong_key', { who });
    case 'host':
      return t('refusal.host', { who, name: refusal.named ?? '' });
    case 'origin':
      return refusal.named ? t('refusal.origin', { name: refusal.named }) : t('refusal.some_origin');
    case 'unknown_route':
      return t('refusal.unknown_route', { who });
  }
}

/** The newest refused request since `since` (milliseconds), of any client. */
export function newestRefused(list: RequestEntry[], since: number): RequestEntry | null {
  return list.find((entry) => entry.refusal !== null && entry.at >= since) ?? null;
}

/** Whether a client has received an answer from a model. */
export function isAnswered(entry: RequestEntry): boolean {
  return (
    entry.state === 'done' &&
    (entry.surface === 'responses' || entry.surface === 'chat') &&
    entry.status !== null &&
    entry.status < 300
  );
}

/** Whether any tokens were counted. */
export function hasTokens(entry: RequestEntry): boolean {
  return entry.input_tokens + entry.output_tokens > 0;
}

/** How a client fares: it is asking, its last request went well or not, or there was none. */
export type Light = 'running' | 'good' | 'bad' | 'none';

/** The light for a client's last request. */
export function lightOf(last: RequestEntry | null): Light {
  if (!last) return 'none';
  switch (last.state) {
    case 'running':
      return 'running';
    case 'failed':
      return 'bad';
    case 'done':
    case 'cancelled':
      return 'good';
  }
}

/** What one client does. */
export interface Activity {
  /** Its key, or the kind of program where it has shown none; null for this window. */
  name: string | null;
  /** Its newest request. */
  last: RequestEntry;
  /** What is being answered, the newest first. */
  running: RequestEntry[];
}

/** What every client does: those that are asking first, then those that asked last. `list` is newest first. */
export function activityOf(list: RequestEntry[]): Activity[] {
  const clients = new Map<string, Activity>();
  for (const entry of list) {
    const label = entry.key ?? entry.client;
    const known = clients.get(label);
    const running = entry.state === 'running' ? [entry] : [];
    if (known) known.running.push(...running);
    else clients.set(label, { name: label === WINDOW_KEY ? null : label, last: entry, running });
  }
  return [...clients.values()].sort(
    (a, b) => Number(b.running.length > 0) - Number(a.running.length > 0) || b.last.at - a.last.at,
  );
}
