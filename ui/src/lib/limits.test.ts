import { describe, expect, test } from 'vitest';

import type { LimitReading, LimitWindow } from '../api.generated';
import { chartOf, outlook } from './limits';

const HOUR = 3_600;
/** The five hours began at 0. */
const RESET = 5 * HOUR;

const five = (used_percent: number, more: Partial<LimitWindow> = {}): LimitWindow => ({
  used_percent,
  window_minutes: 300,
  resets_at: RESET,
  ...more,
});
const seen = (...samples: [at: number, used: number][]): LimitReading[] =>
  samples.map(([at, used]) => ({ at, window: five(used) }));

describe('without a history, by the mean since the window began', () => {
  test('it will be full', () =>
    expect(outlook(five(50), [], 2 * HOUR)).toEqual({ kind: 'full', at: 4 * HOUR }));
  test('it lasts', () => expect(outlook(five(30), [], 2 * HOUR)).toEqual({ kind: 'lasts' }));
  test('nothing used lasts', () => expect(outlook(five(0), [], 2 * HOUR)).toEqual({ kind: 'lasts' }));
  test('a window that has just begun tells nothing', () => expect(outlook(five(5), [], 600)).toBeNull());
});

describe('with a history', () => {
  test('the pace of the last half hour counts, not that of hours ago', () => {
    const history = seen([0, 0], [3 * HOUR, 10], [3.5 * HOUR, 30]);
    expect(outlook(five(30), history, 3.5 * HOUR)).toEqual({ kind: 'lasts' });
    const faster = seen([0, 0], [3 * HOUR, 10], [3.5 * HOUR, 60]);
    expect(outlook(five(60), faster, 3.5 * HOUR)).toEqual({ kind: 'full', at: 3.9 * HOUR });
  });
  test('a rest is a rest', () =>
    expect(outlook(five(90), seen([2 * HOUR, 90], [3 * HOUR, 90]), 3 * HOUR)).toEqual({ kind: 'lasts' }));
  test('too short a history does not count', () =>
    expect(outlook(five(50), seen([7_100, 20], [2 * HOUR, 50]), 2 * HOUR)).toEqual({
      kind: 'full',
      at: 4 * HOUR,
    }));
  test('what was used before the reset does not count', () => {
    const before: LimitReading = { at: -HOUR, window: five(95, { resets_at: 0 }) };
    expect(outlook(five(50), [before, ...seen([2 * HOUR, 50])], 2 * HOUR)).toEqual({
      kind: 'full',
      at: 4 * HOUR,
    });
  });
});

test.each<[string, Partial<LimitWindow>]>([
  ['full', { used_percent: 100 }],
  ['past its reset', { resets_at: HOUR }],
  ['without a reset', { resets_at: null }],
  ['without a length', { window_minutes: null }],
])('nothing is foretold of a window that is %s', (_, more) =>
  expect(outlook(five(50, more), [], 2 * HOUR)).toBeNull(),
);

test('a week is looked at by its own measure', () => {
  const week = five(60, { window_minutes: 10_080, resets_at: 7 * 24 * HOUR });
  const history: LimitReading[] = [
    { at: 2 * 24 * HOUR, window: { ...week, used_percent: 50 } },
    { at: 2 * 24 * HOUR + HOUR, window: week },
  ];
  expect(outlook(week, history, 2 * 24 * HOUR + HOUR)).toEqual({
    kind: 'full',
    at: 2 * 24 * HOUR + HOUR + 40 / (60 / (2 * 24 * HOUR + HOUR)),
  });
});

describe('the chart', () => {
  test('shows what was seen, and the rest as unseen or ahead', () => {
    const history = seen([HOUR, 20], [2 * HOUR, 40]);
    expect(chartOf(five(40), history, 2.5 * HOUR)).toEqual({
      start: 0,
      end: RESET,
      now: 0.5,
      since: HOUR,
      unseen: [
        [0, 0],
        [0.2, 0.2],
      ],
      seen: [
        [0.2, 0.2],
        [0.4, 0.4],
        [0.5, 0.4],
      ],
      ahead: [
        [0.5, 0.4],
        [1, expect.closeTo(0.9, 5)],
      ],
    });
  });
  test('ends at the top where the window will be full', () => {
    expect(chartOf(five(50), [], 2 * HOUR)?.ahead).toEqual([
      [0.4, 0.5],
      [0.8, 1],
    ]);
  });
  test('foretells nothing of a full one', () => {
    expect(chartOf(five(100), [], 2 * HOUR)?.ahead).toEqual([]);
  });
  test('is none where the begin is unknown', () => {
    expect(chartOf(five(50, { window_minutes: null }), [], 2 * HOUR)).toBeNull();
  });
});
