import { expect, test } from 'vitest';

import { pretty } from './pretty';

test.each([
  ['{"a":1}', '{\n  "a": 1\n}'],
  ['[]\n{"a":1}', '[]\n{\n  "a": 1\n}'],
  ['data: {"a":1}', 'data: {"a":1}'],
  ['{"cut', '{"cut'],
])('%s', (text, expected) => expect(pretty(text)).toBe(expected));
