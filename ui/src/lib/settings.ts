/** Settings in groups, and the conversion of typed text to values. */

import type { Setting, SettingValue } from '../api.generated';
import { t, type Key } from '../words.svelte';
import { bytes, duration, titleOf } from './format';

type GroupName = Key extends infer K ? (K extends `group.${infer N}` ? N : never) : never;

export interface Group {
  name: string;
  settings: Setting[];
}

/** The groups in the order of the page, each with the prefixes of its settings' keys. */
const GROUPS: [name: GroupName, keys: RegExp][] = [
  [
    'models',
    /^(codex_model|env$|model|force_provider|codex_force|ignore_client|strict_params|output_mode|responses_)/,
  ],
  ['network', /^(host|port|api_key|allowed_hosts|.*cors|protect|usage_allow|enable_responses|sse_|keychain)/],
  ['sign_in', /^login_/],
  ['limits', /^(max_|.*timeout_ms$|queue_|rate_|kill_on|(key_)?daily_)/],
  ['tools', /^(suppress_|stop_|tool_)/],
  ['images', /^fetch_/],
  ['codex', /^(codex_|npm_|sandbox|use_app|worker_|proto_)/],
  ['records', /^(usage_|token_log|requests?_|store(_|$)|.*retention|log|data_dir)/],
  ['metrics', /^(enable_metrics|enable_otel|otel_)/],
];

const OTHER = 'other';

/** The settings that most people need, in the order in which they are shown. */
const BASIC = [
  'codex_model',
  'port',
  'host',
  'allowed_hosts',
  'cors_allowed_origins',
  'worker_count',
  'daily_tokens',
  'key_daily_tokens',
  'fetch_images',
  'store',
  'usage_retention_days',
  'log',
] as const;

type Basic = (typeof BASIC)[number];

/** Those that the catalogue has words for. */
const WORDED = [...BASIC, 'store_max_days', 'store_max_mb', 'request_log'] as const;

const asBasic = (key: string | null) => BASIC.find((basic) => basic === key);
const asWorded = (key: string | null) => WORDED.find((worded) => worded === key);

/** Those that most people need, and all others. */
export function levels(settings: Setting[]): { basic: Setting[]; advanced: Setting[] } {
  const place = ({ key }: Setting) => BASIC.indexOf(key as Basic);
  const basic = settings.filter(({ key }) => asBasic(key)).sort((a, b) => place(a) - place(b));
  return { basic, advanced: settings.filter(({ key }) => !asBasic(key)) };
}

/** What a setting is called. */
export function titleOfSetting({ key, name }: Setting): string {
  const worded = asWorded(key);
  return worded ? t(`setting.${worded}`) : titleOf(key ?? name);
}

/** What a setting means; in the proxy's own words where the catalogue has none. */
export function aboutOf({ key, about }: Setting): string {
  const worded = asWorded(key);
  return worded ? t(`setting.${worded}_about`) : about;
}

/** The settings that match `text`, in groups; empty groups are left out. */
export function grouped(settings: Setting[], text: string): Group[] {
  const wanted = text.trim().toLowerCase();
  const shown = settings.filter((setting) =>
    [setting.name, setting.key ?? '', setting.about, titleOfSetting(setting), aboutOf(setting)].some(
      (words) => words.toLowerCase().includes(wanted),
    ),
  );
  return [...GROUPS.map(([name]) => name), OTHER as GroupName]
    .map((name) => ({
      name: t(`group.${name}`),
      settings: shown.filter((setting) => groupOf(setting) === name),
    }))
    .filter((group) => group.settings.length > 0);
}

function groupOf({ key }: Setting): GroupName {
  // A time limit of the workers belongs to the group of the workers.
  if (key && /^(worker_|fetch_)/.test(key)) return key.startsWith('fetch_') ? 'images' : 'codex';
  return (key && GROUPS.find(([, keys]) => keys.test(key))?.[0]) || OTHER;
}

/** Whether it can be changed here, or why not. */
export function lockedBy(setting: Setting): string | null {
  if (setting.key === null) return t('settings.locked_start');
  if (setting.source === 'environment') return t('settings.locked_env', { name: setting.name });
  if (setting.source === 'flag') return t('settings.locked_flag');
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
      return /^\d+$/.test(typed) && isIn
        ? { value }
        : { problem: t('settings.must_be', { allowed: setting.allowed }) };
    }
  }
}

/** What holds while nothing is set, as far as that is known: what the proxy says that it uses, else the default. */
export function fallbackOf(setting: Setting, inEffect: string | null): { value: string; isDefault: boolean } {
  const preset = textOf(setting.default);
  const used = inEffect ?? (setting.set ? preset : textOf(setting.value)) ?? preset;
  return { value: inWords(setting, used || preset), isDefault: !used || used === preset };
}

/** A value with its meaning: `300000 (5 min)`, `67108864 (64 MiB)`, `On`. */
function inWords({ key, kind }: Setting, value: string): string {
  if (kind === 'boolean') return value === '' ? '' : t(value === 'true' ? 'common.on' : 'common.off');
  const number = Number(value);
  if (kind !== 'integer' || !number) return value;
  if (key?.endsWith('_ms') && number >= 1_000) return `${value} (${duration(number / 1_000)})`;
  return key?.endsWith('_bytes') ? `${value} (${bytes(number)})` : value;
}
