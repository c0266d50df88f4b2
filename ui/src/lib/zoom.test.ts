import { expect, test } from 'vitest';

import { ZOOMS, zoomed } from './zoom';

test('each key leads to the next size, and not beyond the last', () => {
  expect([zoomed(100, '+'), zoomed(100, '='), zoomed(100, '-'), zoomed(175, '0')]).toEqual([
    110, 110, 90, 100,
  ]);
  // A size from a file may lie between two.
  expect([zoomed(103, '+'), zoomed(103, '-')]).toEqual([110, 100]);
  expect([zoomed(300, '+'), zoomed(50, '-')]).toEqual([300, 50]);
  expect(zoomed(100, 'a')).toBeNull();
  let size = 50;
  const seen = [size];
  while (size < 300) seen.push((size = zoomed(size, '+') ?? 300));
  expect(seen).toEqual(ZOOMS);
});
