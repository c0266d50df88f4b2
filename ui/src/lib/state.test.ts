import { describe, expect, test } from 'vitest';

import type { Job } from '../api.generated';
import { makeWorld, type Scenario } from '../../tests/mock/world';
import { ControlError } from '../transport';
import { firstSteps, headline, isWorking, jobText, limitTone, progressOf } from './state';

const statusOf = (scenario: Scenario) => makeWorld(scenario).status;

test.each<[Scenario, string, string, string | undefined]>([
  ['ready', 'good', 'Ready', undefined],
  ['empty', 'good', 'Ready', '#/clients'],
  ['no_codex', 'bad', 'Codex is not installed', '#/start'],
  ['installing', 'busy', 'Downloading Codex 0.169.0…', '#/start'],
  ['signed_out', 'bad', 'Nobody is signed in', '#/start'],
  ['broken', 'bad', 'Codex is not running', '#/workers'],
  ['limited', 'warn', "Your plan's limit is reached", '#/usage'],
])('headline of %s', (scenario, tone, text, href) => {
  const said = headline(statusOf(scenario), null, 0);
  expect([said.tone, said.text, said.next?.href]).toEqual([tone, text, href]);
});

describe('headline', () => {
  test('before the first state', () => expect(headline(null, null, 0).tone).toBe('busy'));

  test('a lost connection comes first', () => {
    const said = headline(statusOf('ready'), new ControlError(0, 'Gone.'), 0);
    expect([said.tone, said.detail]).toEqual(['bad', 'Gone.']);
  });

  test('a limit says when it resets', () => {
    const status = statusOf('limited');
    if (status.limits?.primary) status.limits.primary.resets_at = null;
    expect(headline(status, null, 0).detail).toBe('Requests are refused until it resets.');
    if (status.limits?.primary) status.limits.primary.resets_at = Date.UTC(2026, 2, 4, 12) / 1_000;
    expect(headline(status, null, Date.UTC(2026, 2, 4, 11) / 1_000).detail).toMatch(/until \d\d:00\.$/);
  });

  test('a pause comes before what it hides', () => {
    const status = statusOf('limited');
    Object.assign(status, { paused: true, ready: false });
    expect(headline(status, null, 0).text).toBe('Paused');
  });

  test('a limit is told as the proxy judges it, whatever the vendor calls it', () => {
    const status = statusOf('limited');
    Object.assign(status.limits ?? {}, { reached: null, ordinary_usage_allowed: null });
    expect(headline(status, null, 0).text).toBe("Your plan's limit is reached");
    status.limited = false;
    expect(headline(status, null, 0).text).toBe('Ready');
  });

  test('workers that start are no failure', () => {
    const status = statusOf('broken');
    status.workers.forEach((worker) => (worker.state = 'starting'));
    expect(headline(status, null, 0).tone).toBe('busy');
  });

  test('an unsupported Codex is named', () => {
    const status = statusOf('ready');
    Object.assign(status.codex, { supported: false, version: '0.12.0' });
    expect(headline(status, null, 0).detail).toBe('Codex 0.12.0 is not supported.');
  });

  test('a Codex that does not say its version is there, and told of', () => {
    const status = statusOf('broken');
    Object.assign(status.codex, { supported: false, version: null, problem: 'It hangs.' });
    const said = headline(status, null, 0);
    expect([said.text, said.detail]).toEqual(['This Codex cannot be used', 'It hangs.']);
    status.codex.problem = null;
    expect(headline(status, null, 0).text).toBe('Codex is not running');
  });
});

test('the first steps follow the state', () => {
  expect(firstSteps(statusOf('no_codex'), [])).toEqual({
    codex: false,
    account: false,
    client: false,
    answer: false,
  });
  expect(firstSteps(statusOf('signed_out'), [])).toMatchObject({ codex: true, account: false });
  expect(firstSteps(statusOf('empty'), [])).toMatchObject({ account: true, client: false, answer: false });
  expect(firstSteps(statusOf('empty'), makeWorld('ready').requests)).toMatchObject({
    client: true,
    answer: true,
  });
  const tried = makeWorld('ready').requests.slice(1, 2);
  for (const entry of tried) entry.key = 'window';
  expect(firstSteps(statusOf('empty'), tried)).toMatchObject({ client: false, answer: true });
});

test('jobs', () => {
  const job: Job = {
    action: 'install',
    phase: 'downloading',
    version: null,
    bytes: 5,
    total_bytes: 10,
    error: null,
  };
  expect(progressOf(job)).toBe(0.5);
  expect(progressOf({ ...job, total_bytes: null })).toBeNull();
  expect(progressOf({ ...job, phase: 'done' })).toBe(1);
  expect(isWorking(job)).toBe(true);
  expect(isWorking({ ...job, phase: 'failed' })).toBe(false);
  expect(jobText({ ...job, phase: 'failed', error: 'No space left.' })).toBe('No space left.');
  expect(jobText({ ...job, phase: 'done', version: '1.2.3' })).toBe('Codex 1.2.3 is installed.');
});

test.each([
  [79, 'good'],
  [80, 'warn'],
  [100, 'bad'],
])('a limit used to %d %%', (used_percent, tone) => {
  expect(limitTone({ used_percent, window_minutes: 300, resets_at: null })).toBe(tone);
});
