import { describe, expect, test } from 'vitest';

import { totals, usage } from '../../tests/mock/data';
import {
  bucketName,
  layersOf,
  queryFor,
  rowName,
  scaleLines,
  sharesOf,
  stacked,
  timeGroup,
  usageOfKey,
} from './usage';

const NIGHT = new Date('2026-03-04T23:30:00Z');

describe('the query', () => {
  test('starts today for today', () =>
    expect(queryFor('today', 'hour', NIGHT, 'UTC')).toBe('start=2026-03-04&group=hour&tz=UTC'));
  test('follows the time zone', () =>
    expect(queryFor('today', 'hour', NIGHT, 'Europe/Berlin')).toContain(
      'start=2026-03-05&group=hour&tz=Europe%2FBerlin',
    ));
  test('goes back over months', () =>
    expect(queryFor('7d', 'day', NIGHT, 'UTC')).toContain('start=2026-02-26'));
});

test('hours for a day, days for more', () => {
  expect(timeGroup('today')).toBe('hour');
  expect(timeGroup('90d')).toBe('day');
});

describe('layers', () => {
  const read = usage('day', 0, 3, 100);
  test('of tokens add up to what was used', () => {
    const tops = stacked(layersOf(read, 'tokens')).at(-1);
    expect(tops).toEqual(read.data.map((row) => row.input_tokens + row.output_tokens));
  });
  test('of requests add up to the requests', () => {
    const tops = stacked(layersOf(read, 'requests')).at(-1);
    expect(tops).toEqual(read.data.map((row) => row.requests));
  });
});

test('names of bars', () => {
  const start = Date.UTC(2026, 2, 4) / 1_000;
  expect(bucketName({ bucket: 'x', start }, 'day', start, 'UTC')).toBe('Wed 4 Mar');
  expect(bucketName({ bucket: 'x', start: start + 3_600 }, 'hour', start, 'UTC')).toBe('01:00');
  expect(bucketName({ bucket: 'gpt-5.5', start: null }, 'model', start, 'UTC')).toBe('gpt-5.5');
  expect(bucketName({ bucket: '', start: null }, 'key', start, 'UTC')).toBe('unknown');
});

test('two keys of one name are told apart by their ids', () => {
  const [row] = usage('key', 0, 1, 10).data;
  if (!row) throw new Error('there is no row');
  const old = { ...row, bucket: 'tablet', key_id: null };
  const first = { ...old, key_id: 'key_1' };
  const other = { ...old, bucket: 'phone', key_id: 'key_2' };
  const rows = [old, first, other];
  expect(rows.map((each) => rowName(rows, each))).toEqual(['tablet', 'tablet (key_1)', 'phone']);
  expect(rowName(rows, { ...old, bucket: '' })).toBe('unknown');
});

test.each([
  [0, [0, 1]],
  [3, [0, 1, 2, 3]],
  [7, [0, 2, 4, 6, 8]],
  [100, [0, 50, 100]],
  [314_000, [0, 100_000, 200_000, 300_000, 400_000]],
])('the scale of %d ends with a line at or above it', (most, lines) =>
  expect(scaleLines(most)).toEqual(lines),
);

test('a key is known by its id, and by its name in older records', () => {
  const row = { start: null, end: null, ...totals(2) };
  const rows = [
    { ...row, bucket: 'default', key_id: 'key_1' },
    { ...row, bucket: 'default', key_id: 'key_2' },
    { ...row, bucket: 'default' },
  ];
  expect(usageOfKey(rows, { id: 'key_1', name: 'default' }).requests).toBe(4);
  expect(usageOfKey(rows, { id: 'key_3', name: 'other' })).toEqual({ requests: 0, total_tokens: 0 });
});

describe('shares', () => {
  const row = (bucket: string, total_tokens: number) => ({
    ...totals(1),
    bucket,
    start: null,
    end: null,
    total_tokens,
  });
  test('the most first, the rest summed up', () => {
    const rows = [1, 2, 3, 4, 5, 85].map((tokens) => row(`key-${tokens}`, tokens));
    expect(sharesOf([...rows, row('unused', 0)], 3)).toEqual([
      { name: 'key-85', tokens: 85, part: 0.85 },
      { name: 'key-5', tokens: 5, part: 0.05 },
      { name: '4 others', tokens: 10, part: 0.1 },
    ]);
  });
  test('nothing used is shared by nobody', () => expect(sharesOf([row('a', 0)])).toEqual([]));
  test('what this window has asked is called so', () =>
    expect(sharesOf([row('window', 7)])[0]?.name).toBe('This window'));
});
