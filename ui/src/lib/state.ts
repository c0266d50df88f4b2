/** The state of the proxy in a sentence, and what the person should do next. */

import { WINDOW_KEY, type Job, type LimitWindow, type RequestEntry, type Status } from '../api.generated';
import type { ControlError } from '../transport';
import { t } from '../words.svelte';
import { moment } from './format';
import { isAnswered } from './requests';

export type Tone = 'good' | 'busy' | 'warn' | 'bad';

export interface Headline {
  tone: Tone;
  text: string;
  detail: string | null;
  /** The view for the next step. */
  next: { label: string; href: string } | null;
}

/** The texts on Home. `now` is in seconds. */
export function headline(status: Status | null, problem: ControlError | null, now: number): Headline {
  if (problem) return say('bad', t('state.no_connection'), problem.message);
  if (!status) return say('busy', t('state.connecting'));
  return (
    ofPause(status) ??
    ofCodex(status) ??
    ofAccount(status) ??
    ofWorkers(status) ??
    ofLimits(status, now) ??
    say('good', t('state.ready'), null, ...toClients(status))
  );
}

/** Whether Codex can be used. */
export function hasCodex(status: Status): boolean {
  return status.codex.version !== null && status.codex.supported;
}

/** Whether an account is signed in, or no sign-in is needed. */
export function isSignedIn(status: Status): boolean {
  return status.account.state === 'signed_in' || status.account.state === 'not_needed';
}

/** Whether a job is still running. */
export function isWorking(job: Job | null): job is Job {
  return job !== null && job.phase !== 'done' && job.phase !== 'failed';
}

/** The progress of a job, from 0 to 1; null while it is unknown. */
export function progressOf(job: Job): number | null {
  if (job.phase === 'done') return 1;
  if (job.phase !== 'downloading' || !job.total_bytes) return null;
  return Math.min(1, job.bytes / job.total_bytes);
}

/** The current action of a job, in words. */
export function jobText(job: Job): string {
  const version = job.version ? ` ${job.version}` : '';
  switch (job.phase) {
    case 'resolving':
      return t('job.resolving', { version });
    case 'downloading':
      return t('job.downloading', { version });
    case 'verifying':
      return t('job.verifying');
    case 'unpacking':
      return t('job.unpacking');
    case 'checking':
      return t('job.checking');
    case 'proving':
      return t('job.proving');
    case 'switching':
      return t('job.switching');
    case 'done':
      return t(job.action === 'rollback' ? 'job.rolled_back' : 'job.installed', { version });
    case 'failed':
      return job.error ?? t('job.failed');
  }
}

/** The steps of the set-up, each with whether it is done. */
export function firstSteps(status: Status, requests: RequestEntry[]) {
  const answered = requests.some(isAnswered) || answers(status) > 0;
  // A prompt from the window gets an answer too, but it is not the answer to a client.
  const tried = requests.filter(({ key }) => key === WINDOW_KEY);
  return {
    codex: hasCodex(status),
    account: isSignedIn(status),
    client:
      answers(status) > tried.filter(isAnswered).length ||
      requests.some(({ key }) => key !== null && key !== WINDOW_KEY),
    answer: answered,
  };
}

/** The level of a limit: how much of it is used. */
export function limitTone(window: LimitWindow): Tone {
  if (window.used_percent >= 100) return 'bad';
  return window.used_percent >= 80 ? 'warn' : 'good';
}

function ofPause({ paused }: Status): Headline | null {
  return paused ? say('warn', t('state.paused'), t('state.paused_detail')) : null;
}

function ofCodex({ codex }: Status): Headline | null {
  const toStart = [t('state.set_up'), '#/start'] as const;
  if (isWorking(codex.job)) return say('busy', jobText(codex.job), null, t('state.see_progress'), '#/start');
  if (!codex.path) return say('bad', t('state.no_codex'), codex.problem, ...toStart);
  if (!codex.version)
    return codex.problem ? say('bad', t('state.bad_codex'), codex.problem, ...toStart) : null;
  if (!codex.supported) {
    const detail = codex.problem ?? t('state.unsupported', { version: codex.version });
    return say('bad', t('state.bad_codex'), detail, ...toStart);
  }
  return null;
}

function ofAccount({ account }: Status): Headline | null {
  if (account.state === 'signed_out') {
    return say('bad', t('state.signed_out'), account.problem, t('state.sign_in'), '#/start');
  }
  if (account.state === 'signing_in') {
    return say('busy', t('state.signing_in'), t('state.signing_in_detail'), t('state.go_on'), '#/start');
  }
  return null;
}

function ofWorkers(status: Status): Headline | null {
  if (status.ready) return null;
  const starting = status.workers.every(({ state }) => state === 'starting');
  if (starting) return say('busy', t('state.starting'), status.reason);
  return say('bad', t('state.not_running'), status.reason, t('state.see_workers'), '#/workers');
}

function ofLimits({ limits, limited }: Status, now: number): Headline | null {
  if (!limits || !limited) return null;
  const resets = [limits.primary, limits.secondary]
    .filter((window) => window !== null && window.used_percent >= 100)
    .flatMap((window) => window?.resets_at ?? []);
  const detail = resets.length
    ? t('state.limited_until', { when: moment(Math.max(...resets), now) })
    : t('state.limited_unknown');
  return say('warn', t('state.limited'), detail, t('state.see_usage'), '#/usage');
}

function toClients(status: Status): [string, string] | [] {
  return answers(status) > 0 ? [] : [t('state.set_up_client'), '#/clients'];
}

function answers({ today }: Status): number {
  return today.requests - today.errors - today.cancelled;
}

function say(
  tone: Tone,
  text: string,
  detail: string | null = null,
  label?: string,
  href?: string,
): Headline {
  return { tone, text, detail, next: label && href ? { label, href } : null };
}

/** The number by which people know a worker; the proxy counts from 0. */
export function numberOf(worker: number): number {
  return worker + 1;
}
