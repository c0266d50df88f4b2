/** A proof in words. */

import type { Finding, Proof, ProofJob } from '../api.generated';
import { plural } from './format';
import type { Tone } from './state';

const VERDICTS: Record<Proof['verdict'], [tone: Tone, text: string]> = {
  pure: ['good', 'Pure'],
  impure: ['bad', 'Not pure'],
  unproved: ['warn', 'Not proved'],
};

/** A verdict as a badge. */
export const verdictBadge = ({ verdict }: Proof) => VERDICTS[verdict];

/** The meaning of a verdict for the person. */
export function verdictText(proof: Proof): string {
  switch (proof.verdict) {
    case 'pure':
      return `Codex ${proof.version} sends your words and your tools, and nothing else, to the model.`;
    case 'impure':
      return `Codex ${proof.version} does not send exactly what you say. It is not used for new turns.`;
    case 'unproved':
      return `It could not be proved what Codex ${proof.version} sends. Try again.`;
  }
}

/** The progress of a proof. */
export function proofText(job: ProofJob): string {
  const version = job.version ? ` ${job.version}` : '';
  if (job.phase === 'asking') return `Asking Codex${version}: ${job.done} of ${plural(job.all, 'request')}…`;
  if (job.phase === 'failed') return job.error ?? 'It failed. Look at the log in Settings.';
  return job.phase === 'done' ? `Codex${version} was looked at.` : `Starting Codex${version}…`;
}

export const isProving = (job: ProofJob | null) => job?.phase === 'starting' || job?.phase === 'asking';

/** A finding as a sentence. */
export function findingText({ kind, what, bytes, requests }: Finding): string {
  const where = `in ${plural(requests, 'request')}`;
  switch (kind) {
    case 'added':
      return `Codex adds ${what}: ${plural(bytes, 'byte')}, ${where}.`;
    case 'lost':
      return `Codex leaves out ${what}, ${where}.`;
    case 'changed':
      return `Codex changes ${what}, ${where}.`;
    case 'connection':
      return `Codex connects to ${what}, and it is not known why.`;
    case 'failed':
      return `There was no answer to ${what}.`;
  }
}
