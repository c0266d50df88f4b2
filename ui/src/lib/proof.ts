/** A proof in words. */

import type { Finding, Proof, ProofJob } from '../api.generated';
import { t, type Key } from '../words.svelte';
import type { Tone } from './state';

const VERDICTS: Record<Proof['verdict'], [tone: Tone, text: Key]> = {
  pure: ['good', 'proof.pure'],
  impure: ['bad', 'proof.impure'],
  unproved: ['warn', 'proof.unproved'],
};

/** A verdict as a badge. */
export function verdictBadge({ verdict }: Proof): [tone: Tone, text: string] {
  const [tone, text] = VERDICTS[verdict];
  return [tone, t(text)];
}

/** The meaning of a verdict for the person. */
export function verdictText(proof: Proof): string {
  switch (proof.verdict) {
    case 'pure':
      return t('proof.pure_text', { version: proof.version });
    case 'impure':
      return t('proof.impure_text', { version: proof.version });
    case 'unproved':
      return t('proof.unproved_text', { version: proof.version });
  }
}

/** The progress of a proof. */
export function proofText(job: ProofJob): string {
  const version = job.version ? ` ${job.version}` : '';
  if (job.phase === 'asking') {
    return t('proof.asking', { version, done: job.done, requests: t('count.requests', { count: job.all }) });
  }
  if (job.phase === 'failed') return job.error ?? t('job.failed');
  return t(job.phase === 'done' ? 'proof.done' : 'proof.starting', { version });
}

export const isProving = (job: ProofJob | null) => job?.phase === 'starting' || job?.phase === 'asking';

/** A finding as a sentence. */
export function findingText({ kind, what, bytes, requests }: Finding): string {
  const where = t('count.requests', { count: requests });
  switch (kind) {
    case 'added':
      return t('proof.added', { what, bytes: t('count.bytes', { count: bytes }), requests: where });
    case 'lost':
      return t('proof.lost', { what, requests: where });
    case 'changed':
      return t('proof.changed', { what, requests: where });
    case 'connection':
      return t('proof.connection', { what });
    case 'failed':
      return t('proof.no_answer', { what });
  }
}
