import { expect, test } from 'vitest';

import { advance, begin, inputOf, speedOf, withEffort, type Exchange } from './chat';

const delta = (text: string) => ({
  event: 'response.output_text.delta',
  data: JSON.stringify({ type: 'response.output_text.delta', delta: text }),
});
const completed = {
  event: 'response.completed',
  data: JSON.stringify({
    type: 'response.completed',
    response: { usage: { input_tokens: 9, output_tokens: 40 } },
  }),
};

test('the first token and the speed are measured, at first by pieces, then by the count', () => {
  let exchange = begin([], 1, 'codex-5', { text: 'Hello?', images: [] }, 1_000);
  expect(speedOf(exchange, 5_000)).toBeNull();
  exchange = advance(exchange, { event: 'response.created', data: '{"type":"response.created"}' }, 1_400);
  expect(exchange.first).toBeNull();
  exchange = advance(exchange, delta('One'), 1_500);
  exchange = advance(exchange, delta(' two'), 2_000);
  expect(exchange.first).toBe(1_500);
  expect(speedOf(exchange, 2_500)).toEqual({ perSecond: 2, isCounted: false });
  exchange = { ...advance(exchange, completed, 3_400), ended: 3_500 };
  expect(exchange.answer.text).toBe('One two');
  expect(speedOf(exchange, 9_000)).toEqual({ perSecond: 20, isCounted: true });
});

test('the effort is a part of the id', () => {
  expect(withEffort('codex-5', 'high')).toBe('codex-5-high');
  expect(withEffort('codex-5', '')).toBe('codex-5');
});

const image = { id: 1, name: 'a.png', url: 'data:image/png;base64,AAAA', bytes: 3 };

function answered(id: number, text: string, answer: string, images = [image].slice(1)): Exchange {
  const exchange = begin([], id, 'codex-5', { text, images }, 0);
  return { ...exchange, answer: { ...exchange.answer, text: answer } };
}

test('a first question is a plain prompt', () => {
  expect(inputOf([], { text: 'Hello?', images: [] })).toBe('Hello?');
});

test('the conversation goes along, but not what was not answered', () => {
  const past = [answered(1, 'What is it?', 'A cat.', [image]), answered(2, 'Really?', '')];
  expect(inputOf(past, { text: 'Which colour?', images: [] })).toEqual([
    {
      role: 'user',
      content: [
        { type: 'input_text', text: 'What is it?' },
        { type: 'input_image', image_url: image.url },
      ],
    },
    { role: 'assistant', content: 'A cat.' },
    { role: 'user', content: 'Which colour?' },
  ]);
});

test('an image needs no words', () => {
  expect(inputOf([], { text: '', images: [image] })).toEqual([
    { role: 'user', content: [{ type: 'input_image', image_url: image.url }] },
  ]);
});
