/** Settings in groups, and the conversion of typed text to values. */

import type { Setting, SettingValue } from '../api.generated';

export interface Group {
  name: string;
  settings: Setting[];
}

/** The groups in the order of the page, each with the prefixes of its settings' keys. */
const GROUPS: [name: string, keys: RegExp][] = [
  [
    'Models',
    /^(codex_model|env$|model|force_provider|codex_force|ignore_client|strict_params|output_mode|responses_)/,
  ],
  [
    'Network and access',
    /^(host|port|api_key|allowed_hosts|.*cors|protect|usage_allow|enable_responses|sse_|keychain)/,
  ],
  ['Sign-in', /^login_/],
  ['Limits and deadlines', /^(max_|.*timeout_ms$|queue_|rate_|kill_on|(key_)?daily_)/],
  ['Tool blocks', /^(suppress_|stop_|tool_)/],
  ['Images', /^fetch_/],
  ['Codex and workers', /^(codex_|npm_|sandbox|use_app|worker_|proto_)/],
  ['Records and retention', /^(usage_|token_log|requests?_|store_|.*retention|log|data_dir)/],
  ['Metrics and traces', /^(enable_metrics|enable_otel|otel_)/],
];

const OTHER = 'Other';

/** The settings that match `text`, in groups; empty groups are left out. */
export function grouped(settings: Setting[], text: string): Group[] {
  const wanted = text.trim().toLowerCase();
  const shown = settings.filter(
    (setting) =>
      setting.name.toLowerCase().includes(wanted) ||
      setting.key?.includes(wanted) ||
      setting.about.toLowerCase().includes(wanted),
  );
  return [...GROUPS.map(([name]) => name), OTHER]
    .map((name) => ({ name, settings: shown.filter((setting) => groupOf(setting) === name) }))
    .filter((group) => group.settings.length > 0);
}

function groupOf({ key }: Setting): string {
  // A time limit of the workers belongs to the group of the workers.
  if (key && /^(worker_|fetch_)/.test(key)) return key.startsWith('fetch_') ? 'Images' : 'Codex and workers';
  return (key && GROUPS.find(([, keys]) => keys.test(key))?.[0]) || OTHER;
}

/** The parts of a sentence; text in backticks is code. */
export function pieces(text: string): { text: string; isCode: boolean }[] {
  return text
    .split('`')
    .map((piece, i) => ({ text: piece, isCode: i % 2 === 1 }))
    .filter((piece) => piece.text !== '');
}

/** Whether the setting can be changed here, or the reason why not. */
export function lockedBy(setting: Setting): string | null {
  if (setting.key === null) return 'It can only be set when the proxy is started.';
  if (setting.source === 'environment') return `The environment variable ${setting.name} sets it.`;
  if (setting.source === 'flag') return 'An option on the command line sets it.';
  return null;
}

/** The choices of a setting with a description like "one of a, b, c". */
export function choicesOf({ allowed }: Setting): string[] | null {
  const match = /^one of (.+)$/.exec(allowed);
  return match?.[1] ? match[1].split(', ') : null;
}

/** A value as text to edit. */
export function textOf(value: SettingValue): string {
  if (value === null) return '';
  return Array.isArray(value) ? value.join(', ') : String(value);
}

/** The typed text as a value, or the problem with it. Empty text means the default. */
export function parse(setting: Setting, text: string): { value: SettingValue } | { problem: string } {
  const typed = text.trim();
  if (typed === '') return { value: null };
  switch (setting.kind) {
    case 'boolean':
      return { value: typed === 'true' };
    case 'list':
      return {
        value: typed
          .split(',')
          .map((part) => part.trim())
          .filter(Boolean),
      };
    case 'string':
      return { value: typed };
    case 'integer': {
      const range = /from (\d+) to (\d+)$/.exec(setting.allowed);
      const value = Number(typed);
      const isIn = !range || (value >= Number(range[1]) && value <= Number(range[2]));
      return /^\d+$/.test(typed) && isIn ? { value } : { problem: `It must be ${setting.allowed}.` };
    }
  }
}
