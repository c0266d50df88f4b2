/** The state of the proxy in a sentence, and what the person should do next. */

import { WINDOW_KEY, type Job, type LimitWindow, type RequestEntry, type Status } from '../api.generated';
import type { ControlError } from '../transport';
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
  if (problem) return say('bad', 'No connection to the proxy', problem.message);
  if (!status) return say('busy', 'Connecting…');
  return (
    ofPause(status) ??
    ofCodex(status) ??
    ofAccount(status) ??
    ofWorkers(status) ??
    ofLimits(status, now) ??
    say('good', 'Ready', null, ...toClients(status))
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
      return `Looking for Codex${version}…`;
    case 'downloading':
      return `Downloading Codex${version}…`;
    case 'verifying':
      return 'Checking that the download is complete…';
    case 'unpacking':
      return 'Unpacking…';
    case 'checking':
      return 'Trying it out…';
    case 'proving':
      return 'Proving that it adds nothing to your prompts…';
    case 'switching':
      return 'Switching the workers over…';
    case 'done':
      return job.action === 'rollback' ? `Back on Codex${version}.` : `Codex${version} is installed.`;
    case 'failed':
      return job.error ?? 'It failed. Look at the log in Settings.';
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
  return paused ? say('warn', 'Paused', 'Requests are refused until you resume.') : null;
}

function ofCodex({ codex }: Status): Headline | null {
  const toStart = ['Set up', '#/start'] as const;
  if (isWorking(codex.job)) return say('busy', jobText(codex.job), null, 'See progress', '#/start');
  if (!codex.path) return say('bad', 'Codex is not installed', codex.problem, ...toStart);
  if (!codex.version)
    return codex.problem ? say('bad', 'This Codex cannot be used', codex.problem, ...toStart) : null;
  if (!codex.supported) {
    const detail = codex.problem ?? `Codex ${codex.version} is not supported.`;
    return say('bad', 'This Codex cannot be used', detail, ...toStart);
  }
  return null;
}

function ofAccount({ account }: Status): Headline | null {
  if (account.state === 'signed_out') {
    return say('bad', 'Nobody is signed in', account.problem, 'Sign in', '#/start');
  }
  if (account.state === 'signing_in') {
    return say('busy', 'Waiting for the sign-in', 'Finish it in your browser.', 'Go on', '#/start');
  }
  return null;
}

function ofWorkers(status: Status): Headline | null {
  if (status.ready) return null;
  const starting = status.workers.every(({ state }) => state === 'starting');
  if (starting) return say('busy', 'Codex is starting', status.reason);
  return say('bad', 'Codex is not running', status.reason, 'Look at the workers', '#/workers');
}

function ofLimits({ limits, limited }: Status, now: number): Headline | null {
  if (!limits || !limited) return null;
  const resets = [limits.primary, limits.secondary]
    .filter((window) => window !== null && window.used_percent >= 100)
    .flatMap((window) => window?.resets_at ?? []);
  const detail = resets.length
    ? `Requests are refused until ${moment(Math.max(...resets), now)}.`
    : 'Requests are refused until it resets.';
  return say('warn', "Your plan's limit is reached", detail, 'See usage', '#/usage');
}

function toClients(status: Status): [string, string] | [] {
  return answers(status) > 0 ? [] : ['Set up a client', '#/clients'];
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
