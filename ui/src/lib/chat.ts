/** A question to a model and how its answer went. */

import type { TryInput } from '../api.generated';
import { fold, NO_ANSWER, type Answer } from './answer';
import type { Image } from './images';
import type { ServerEvent } from './sse';

/** What the person asks. */
export interface Question {
  text: string;
  images: Image[];
}

export interface Exchange {
  id: number;
  /** The id of the model, with the effort that was chosen. */
  model: string;
  question: Question;
  /** What was sent: the question with the conversation before it. */
  input: TryInput;
  answer: Answer;
  /** Milliseconds of `performance.now()`. */
  begun: number;
  first: number | null;
  ended: number | null;
  /** Pieces of text that have come: about as many as tokens, before the vendor has counted. */
  pieces: number;
  isStopped: boolean;
}

/** The conversation after one more question. */
export function begin(
  past: readonly Exchange[],
  id: number,
  model: string,
  question: Question,
  now: number,
): Exchange {
  const rest = { first: null, ended: null, pieces: 0, isStopped: false };
  return { id, model, question, input: inputOf(past, question), answer: NO_ANSWER, begun: now, ...rest };
}

/** The question with the conversation before it. What was not answered is no part of it. */
export function inputOf(past: readonly Exchange[], question: Question): TryInput {
  const answered = past.filter(({ answer }) => answer.text !== '');
  if (answered.length === 0 && question.images.length === 0) return question.text;
  return [
    ...answered.flatMap((exchange) => [
      asked(exchange.question),
      { role: 'assistant', content: exchange.answer.text },
    ]),
    asked(question),
  ];
}

function asked({ text, images }: Question): Record<string, unknown> {
  if (images.length === 0) return { role: 'user', content: text };
  return {
    role: 'user',
    content: [
      ...(text === '' ? [] : [{ type: 'input_text', text }]),
      ...images.map(({ url }) => ({ type: 'input_image', image_url: url })),
    ],
  };
}

/** The exchange after one more event. */
export function advance(exchange: Exchange, event: ServerEvent, now: number): Exchange {
  const answer = fold(exchange.answer, event);
  const hasGrown = answer.text.length > exchange.answer.text.length;
  return {
    ...exchange,
    answer,
    pieces: exchange.pieces + (hasGrown ? 1 : 0),
    first: exchange.first ?? (hasGrown ? now : null),
  };
}

/** Tokens a second from the first one on, and whether that is the vendor's count; null where it cannot be said yet. */
export function speedOf(exchange: Exchange, now: number): { perSecond: number; isCounted: boolean } | null {
  const { first, ended, pieces, answer } = exchange;
  const seconds = first === null ? 0 : ((ended ?? now) - first) / 1_000;
  if (seconds < 0.2 || pieces < 2) return null;
  const isCounted = answer.outputTokens !== null;
  return { perSecond: (answer.outputTokens ?? pieces) / seconds, isCounted };
}

/** The id that asks `model` with `effort`; no effort for the model's own. */
export function withEffort(model: string, effort: string): string {
  return effort === '' ? model : `${model}-${effort}`;
}
