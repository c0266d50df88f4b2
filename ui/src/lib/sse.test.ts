import { expect, test } from 'vitest';

import { EventReader } from './sse';

function read(...pieces: string[]) {
  const reader = new EventReader();
  return pieces.flatMap((piece) => reader.push(piece));
}

test('one event', () => {
  expect(read('event: status\ndata: {"a":1}\n\n')).toEqual([{ event: 'status', data: '{"a":1}' }]);
});

test('an event in many pieces, with any line ends', () => {
  const text = 'event: x\r\ndata: one\r\ndata:two\r\n\r\ndata: three\n\n';
  const expected = [
    { event: 'x', data: 'one\ntwo' },
    { event: 'message', data: 'three' },
  ];
  expect(read(text)).toEqual(expected);
  expect(read(...text)).toEqual(expected);
});

test('comments and events without data are left out', () => {
  expect(read(': keepalive\n\nevent: empty\n\ndata: x\n\n')).toEqual([{ event: 'message', data: 'x' }]);
});

test('an unfinished event waits', () => {
  expect(read('data: x\n')).toEqual([]);
});
