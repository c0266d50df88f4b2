/** A question to a model and how its answer went. */

import { fold, NO_ANSWER, type Answer } from './answer';
import type { ServerEvent } from './sse';

export interface Exchange {
  id: number;
  /** The id of the model, with the effort that was chosen. */
  model: string;
  question: string;
  answer: Answer;
  /** Milliseconds of `performance.now()`. */
  begun: number;
  first: number | null;
  ended: number | null;
  /** Pieces of text that have come: about as many as tokens, before the vendor has counted. */
  pieces: number;
  isStopped: boolean;
}

export function begin(id: number, model: string, question: string, now: number): Exchange {
  const rest = { first: null, ended: null, pieces: 0, isStopped: false };
  return { id, model, question, answer: NO_ANSWER, begun: now, ...rest };
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
