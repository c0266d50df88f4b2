import { expect, test } from 'vitest';

import type { Finding, ProofJob } from '../api.generated';
import { findingText, isProving, proofText } from './proof';

const job: ProofJob = { phase: 'asking', version: '0.171.0', done: 3, all: 70, verdict: null, error: null };

test('how far a proof is', () => {
  expect(proofText(job)).toBe('Asking Codex 0.171.0: 3 of 70 requests…');
  expect(proofText({ ...job, phase: 'failed', error: 'No space.' })).toBe('No space.');
  expect([job, { ...job, phase: 'done' } as ProofJob, null].map(isProving)).toEqual([true, false, false]);
});

test('what is wrong is a sentence', () => {
  const found: Finding = { kind: 'added', what: 'a tool `x`', bytes: 38, requests: 1, example: '{}' };
  expect(findingText(found)).toBe('Codex adds a tool `x`: 38 bytes, in 1 request.');
  expect(findingText({ ...found, kind: 'connection', what: 'POST /a' })).toContain('connects to POST /a');
});
