import { expect, test } from 'vitest';

import { fold, NO_ANSWER } from './answer';

const event = (payload: object) => ({ event: 'message', data: JSON.stringify(payload) });
const all = (...payloads: object[]) => payloads.map(event).reduce(fold, NO_ANSWER);

test('text and reasoning are joined as they come', () => {
  const answer = all(
    { type: 'response.reasoning_summary_text.delta', delta: 'Hm' },
    { type: 'response.output_text.delta', delta: 'a ' },
    { type: 'response.output_text.delta', delta: ' b' },
    { type: 'response.completed', response: { usage: { input_tokens: 7, output_tokens: 2 } } },
  );
  expect(answer).toEqual({ text: 'a  b', reasoning: 'Hm', inputTokens: 7, outputTokens: 2, error: null });
  expect(fold(answer, { event: 'message', data: '[DONE]' })).toBe(answer);
});

test.each([
  [{ type: 'error', message: 'flat' }, 'flat'],
  [{ type: 'error', message: 'flat', error: { message: 'nested' } }, 'nested'],
  [{ type: 'response.failed', response: { error: { message: 'in the response' } } }, 'in the response'],
  [{ type: 'response.failed' }, 'The request failed; no reason was given.'],
])('an error is told: %j', (payload, error) => expect(all(payload).error).toBe(error));

test('the first error stays', () => {
  expect(all({ type: 'error', message: 'first' }, { type: 'response.failed' }).error).toBe('first');
});

test('an answer that is cut says so', () => {
  const cut = {
    type: 'response.incomplete',
    response: { incomplete_details: { reason: 'max_output_tokens' } },
  };
  expect(all(cut).error).toBe('The answer is not complete: max_output_tokens.');
});
