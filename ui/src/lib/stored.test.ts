import { expect, test } from 'vitest';

import { keptUntil } from './stored';

test.each([
  [30, 1_024, /30 days.*1\.0 GiB/],
  [1, 0, /1 day\b/],
  [0, 512, /512 MiB/],
  [0, 0, /until you remove it/],
])('%i days and %i MiB', (days, mebibytes, sentence) => {
  expect(keptUntil(days, mebibytes)).toMatch(sentence);
});

test('nothing is said before the settings are known', () => {
  expect(keptUntil(null, 1_024)).toBeNull();
  expect(keptUntil(30, null)).toBeNull();
});
