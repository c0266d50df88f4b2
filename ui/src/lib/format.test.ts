import { describe, expect, test } from 'vitest';

import * as format from './format';

const NOON = Date.UTC(2026, 2, 4, 12, 0, 0) / 1_000;

test.each([
  [0, '0 B'],
  [1_023, '1,023 B'],
  [1_024, '1.0 KiB'],
  [189_792_256, '181 MiB'],
  [5_368_709_120, '5.0 GiB'],
])('bytes %d', (value, expected) => expect(format.bytes(value)).toBe(expected));

test.each([
  [null, '–'],
  [0.4, '0 ms'],
  [850, '850 ms'],
  [2_440, '2.4 s'],
  [59_949, '59.9 s'],
  [59_960, '1 min'],
  [185_000, '3 min 5 s'],
])('millis %s', (value, expected) => expect(format.millis(value)).toBe(expected));

test.each([
  [-3, '0 s'],
  [45.9, '45 s'],
  [60, '1 min'],
  [7_500, '2 h 5 min'],
  [356_400, '4 d 3 h'],
])('duration %d', (value, expected) => expect(format.duration(value)).toBe(expected));

test.each([
  [NOON - 3, 'just now'],
  [NOON - 300, '5 minutes ago'],
  [NOON + 7_200, 'in 2 hours'],
  [NOON - 86_400 * 12, '12 days ago'],
])('relative %d', (then, expected) => expect(format.relative(then, NOON)).toBe(expected));

describe('moment', () => {
  const at = (then: number) => format.moment(then, NOON, 'UTC');
  test('today', () => expect(at(NOON + 3_900)).toBe('13:05'));
  test('this week', () => expect(at(NOON + 86_400)).toBe('Thu 12:00'));
  test('later', () => expect(at(NOON + 86_400 * 20)).toBe('24 Mar, 12:00'));
});

test.each([
  [null, 'Limit'],
  [300, '5-hour limit'],
  [299, '5-hour limit'],
  [10_080, 'Weekly limit'],
  [1_440, 'Daily limit'],
  [43_200, '30-day limit'],
  [15, '15-minute limit'],
])('window of %s minutes', (minutes, expected) => expect(format.windowName(minutes)).toBe(expected));

test('share of nothing is a dash', () => {
  expect(format.share(1, 0)).toBe('–');
  expect(format.share(38, 100)).toBe('38\u00a0%');
});

test('titles of settings', () => {
  expect(format.titleOf('max_body_bytes')).toBe('Max body bytes');
  expect(format.titleOf('strict_params')).toBe('Strict parameters');
  expect(format.titleOf('sse_keepalive_ms')).toBe('SSE keepalive (ms)');
  expect(format.titleOf('worker_max_rss_mb')).toBe('Worker max RSS (MiB)');
});

test('clock and full time', () => {
  expect(format.clockTime(NOON * 1_000 + 9_000, 'UTC')).toBe('12:00:09');
  expect(format.fullTime(NOON, 'UTC')).toBe('4 Mar 2026, 12:00:00');
});
