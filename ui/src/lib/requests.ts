/** Functions for lists of requests. */

import type { RequestEntry } from '../api.generated';

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
  const who = client && client !== 'unknown' && client !== 'other' ? client : 'A program';
  switch (refusal.reason) {
    case 'no_key':
      return `${who} sent no API key. Copy a key here and paste it into its settings.`;
    case 'wrong_key':
      return `${who} sent a wrong or disabled API key. Copy the right one here and paste it into its settings.`;
    case 'host':
      return `${who} used the name “${refusal.named ?? ''}”, which is not this proxy's. Use the address on Home, or add the name to “Allowed hosts” in Settings.`;
    case 'origin':
      return refusal.named
        ? `A web page (${refusal.named}) asked, which may not use this proxy. If it is yours, add it to “CORS allowed origins” in Settings.`
        : 'A web page asked, which may not use this proxy.';
    case 'unknown_route':
      return `${who} asked for an address that is not here. Use the base URL on Home, which ends in /v1.`;
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
