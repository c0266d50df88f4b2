/** Collects the events of a streamed Responses answer into the text to show. */

import { t } from '../words.svelte';
import type { ServerEvent } from './sse';

export interface Answer {
  text: string;
  /** The summary of the model's reasoning. */
  reasoning: string;
  inputTokens: number | null;
  outputTokens: number | null;
  error: string | null;
}

export const NO_ANSWER: Answer = {
  text: '',
  reasoning: '',
  inputTokens: null,
  outputTokens: null,
  error: null,
};

interface Payload {
  type?: string;
  delta?: string;
  message?: string;
  error?: { message?: string } | null;
  response?: {
    usage?: { input_tokens: number; output_tokens: number } | null;
    error?: { message?: string } | null;
    incomplete_details?: { reason?: string } | null;
  };
}

/** Returns `answer` updated with one more event. */
export function fold(answer: Answer, { data }: ServerEvent): Answer {
  if (data === '[DONE]') return answer;
  const payload = JSON.parse(data) as Payload;
  switch (payload.type) {
    case 'response.output_text.delta':
      return { ...answer, text: answer.text + (payload.delta ?? '') };
    case 'response.reasoning_summary_text.delta':
      return { ...answer, reasoning: answer.reasoning + (payload.delta ?? '') };
    case 'response.completed':
    case 'response.incomplete': {
      const usage = payload.response?.usage;
      const reason = payload.response?.incomplete_details?.reason;
      return {
        ...answer,
        inputTokens: usage?.input_tokens ?? null,
        outputTokens: usage?.output_tokens ?? null,
        error: reason ? t('try.incomplete', { reason }) : answer.error,
      };
    }
    case 'error':
    case 'response.failed': {
      const message = payload.error?.message ?? payload.message ?? payload.response?.error?.message;
      return { ...answer, error: answer.error ?? message ?? t('try.failed') };
    }
    default:
      return answer;
  }
}
