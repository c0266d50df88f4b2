import { describe, expect, test } from 'vitest';

import type { RefusalReason, RequestEntry } from '../api.generated';
import {
  activityOf,
  isAnswered,
  lightOf,
  matching,
  MOST_KEPT,
  newestRefused,
  newestWithKey,
  refusalText,
  upsert,
} from './requests';

function entry(id: string, at: number, more: Partial<RequestEntry> = {}): RequestEntry {
  return {
    id,
    at,
    method: 'POST',
    route: '/v1/responses',
    surface: 'responses',
    key: 'default',
    client: 'curl',
    user_agent: '',
    address: null,
    status: 200,
    error_code: null,
    requested_model: 'codex-5',
    effective_model: 'gpt-5.5',
    effort: null,
    service_tier: null,
    stream: true,
    request_bytes: 1,
    response_bytes: 1,
    ttft_ms: 1,
    duration_ms: 2,
    input_tokens: 1,
    cached_tokens: 0,
    output_tokens: 1,
    estimated: false,
    tool_calls: 0,
    worker: 0,
    thread: 'reused',
    state: 'done',
    has_capture: false,
    refusal: null,
    ...more,
  };
}

const ids = (list: RequestEntry[]) => list.map(({ id }) => id).join('');

describe('upsert', () => {
  const list = [entry('c', 30), entry('b', 20), entry('a', 10)];
  test('puts a new one first', () => expect(ids(upsert(list, entry('d', 40)))).toBe('dcba'));
  test('puts an older one in its place', () => expect(ids(upsert(list, entry('x', 15)))).toBe('cbxa'));
  test('puts the oldest last', () => expect(ids(upsert(list, entry('x', 5)))).toBe('cbax'));
  test('replaces a known one', () => {
    const after = upsert(list, entry('b', 20, { status: 500 }));
    expect(ids(after)).toBe('cba');
    expect(after[1]?.status).toBe(500);
  });
  test('keeps no more than its share', () => {
    const full = Array.from({ length: MOST_KEPT }, (_, i) => entry(`r${i}`, MOST_KEPT - i));
    const after = upsert(full, entry('new', MOST_KEPT + 1));
    expect(after).toHaveLength(MOST_KEPT);
    expect(after[0]?.id).toBe('new');
  });
});

test('matching looks at words and at failures', () => {
  const list = [
    entry('a', 2, { state: 'failed', error_code: 'idle_timeout' }),
    entry('b', 1, { key: 'zed' }),
  ];
  expect(ids(matching(list, 'ZED', false))).toBe('b');
  expect(ids(matching(list, 'idle', false))).toBe('a');
  expect(ids(matching(list, '', true))).toBe('a');
  expect(ids(matching(list, 'zed', true))).toBe('');
});

test('the newest with a key, not older than asked', () => {
  const list = [entry('b', 20, { key: 'zed' }), entry('a', 10, { key: 'zed' })];
  expect(newestWithKey(list, 'zed', 15)?.id).toBe('b');
  expect(newestWithKey(list, 'zed', 25)).toBeNull();
  expect(newestWithKey(list, 'cline', 0)).toBeNull();
});

test('a refused request says whose it is and what to do', () => {
  const refused = (reason: RefusalReason, client = 'zed') =>
    refusalText(
      entry('a', 1, { key: null, client, refusal: { reason, named: 'https://x.example', count: 1 } }),
    );
  expect(refused('no_key')).toBe('zed sent no API key. Copy a key here and paste it into its settings.');
  expect(refused('wrong_key', 'unknown')).toMatch(/^A program sent a wrong or disabled API key\./);
  expect(refused('origin')).toContain('https://x.example');
  expect(refused('host')).toContain('Allowed hosts');
  expect(refused('unknown_route')).toContain('/v1');
  expect(refusalText(entry('a', 1))).toBeNull();
  const list = [entry('b', 20), entry('a', 10, { refusal: { reason: 'no_key', named: null, count: 1 } })];
  expect(newestRefused(list, 5)?.id).toBe('a');
  expect(newestRefused(list, 15)).toBeNull();
});

test('a list of models is no answer', () => {
  expect(isAnswered(entry('a', 1))).toBe(true);
  expect(isAnswered(entry('a', 1, { surface: '' }))).toBe(false);
  expect(isAnswered(entry('a', 1, { state: 'running', status: null }))).toBe(false);
});

test('what clients do: those that ask first, then the newest', () => {
  const list = [
    entry('5', 500, { key: 'laptop' }),
    entry('4', 400, { key: 'window' }),
    entry('3', 300, { key: 'notes', state: 'running' }),
    entry('2', 200, { key: 'notes', state: 'running' }),
    entry('1', 100, { key: null, client: 'curl', state: 'failed' }),
  ];
  const shown = activityOf(list);
  expect(shown.map(({ name }) => name)).toEqual(['notes', 'laptop', null, 'curl']);
  expect(shown[0]?.running.map(({ id }) => id)).toEqual(['3', '2']);
  expect(shown.map(({ last, running }) => lightOf(running[0] ?? last))).toEqual([
    'running',
    'good',
    'good',
    'bad',
  ]);
  expect(lightOf(null)).toBe('none');
});
