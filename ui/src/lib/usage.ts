/** The queries and the chart data of the usage view. */

import {
  WINDOW_KEY,
  type Key,
  type Totals,
  type Usage,
  type UsageBucket,
  type UsageGroup,
} from '../api.generated';
import { t, words } from '../words.svelte';
import { moment } from './format';

export type Range = 'today' | '7d' | '30d' | '90d';
export type Metric = 'tokens' | 'requests';

export const RANGES: Record<Range, { days: number }> = {
  today: { days: 1 },
  '7d': { days: 7 },
  '30d': { days: 30 },
  '90d': { days: 90 },
};

/** The ranges by their names. */
export function rangeNames(): Record<Range, string> {
  const days = (range: Range) => t('usage.days', { count: RANGES[range].days });
  return { today: t('usage.today'), '7d': days('7d'), '30d': days('30d'), '90d': days('90d') };
}

/** The query for the last days of `range`, including today, in the person's time zone. */
export function queryFor(range: Range, group: UsageGroup, now: Date, zone: string): string {
  const first = new Date(`${isoDate(now, zone)}T00:00:00Z`);
  first.setUTCDate(first.getUTCDate() - RANGES[range].days + 1);
  const start = first.toISOString().slice(0, 10);
  return new URLSearchParams({ start, group, tz: zone }).toString();
}

/** The date in that time zone as YYYY-MM-DD. It is built from parts, because locale formats differ between engines. */
function isoDate(time: Date, zone: string): string {
  const format = new Intl.DateTimeFormat('en', {
    timeZone: zone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
  });
  const parts = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, value]));
  return `${parts.year}-${parts.month}-${parts.day}`;
}

/** Hours for one day, days for more. */
export function timeGroup(range: Range): UsageGroup {
  return range === 'today' ? 'hour' : 'day';
}

/** One layer of the bars, from the bottom up. */
export interface Layer {
  name: string;
  /** The name of the custom CSS property with its colour. */
  color: string;
  values: number[];
}

/** The layers of the chart. */
export function layersOf(usage: Usage, metric: Metric): Layer[] {
  const each = (pick: (totals: Totals) => number) => usage.data.map(pick);
  if (metric === 'requests') {
    return [
      {
        name: t('usage.answered'),
        color: '--chart-1',
        values: each((t) => t.requests - t.errors - t.cancelled),
      },
      { name: t('usage.cancelled'), color: '--chart-2', values: each((t) => t.cancelled) },
      { name: t('usage.failed'), color: '--chart-bad', values: each((t) => t.errors) },
    ];
  }
  return [
    { name: t('usage.input_from_cache'), color: '--chart-3', values: each((t) => t.cached_tokens) },
    { name: t('usage.input_new'), color: '--chart-1', values: each((t) => t.input_tokens - t.cached_tokens) },
    { name: t('usage.output'), color: '--chart-2', values: each((t) => t.output_tokens) },
  ];
}

/** The values of each layer, added to those of the layers below. */
export function stacked(layers: Layer[]): number[][] {
  const sums: number[] = [];
  return layers.map(({ values }) => values.map((value, i) => (sums[i] = (sums[i] ?? 0) + value)));
}

/** The name of a row; with the key's id if two keys have had the same name. */
export function rowName(rows: readonly UsageBucket[], row: UsageBucket): string {
  const name = row.bucket || t('common.unknown');
  const twice = rows.filter(({ bucket }) => bucket === row.bucket).length > 1;
  return twice && row.key_id ? `${name} (${row.key_id})` : name;
}

/** The name of a bar. */
export function bucketName(
  bucket: { bucket: string; start: number | null },
  group: UsageGroup,
  now: number,
  zone: string,
): string {
  if (bucket.start === null) return bucket.bucket || t('common.unknown');
  if (group === 'hour') return moment(bucket.start, now, zone);
  return new Intl.DateTimeFormat(words.locale.dates, {
    weekday: 'short',
    day: 'numeric',
    month: 'short',
    timeZone: zone,
  }).format(bucket.start * 1_000);
}

/** What one key has come to: by its id, or by its name where records of before have no id. */
export function usageOfKey(
  rows: readonly UsageBucket[],
  key: Pick<Key, 'id' | 'name'>,
): Pick<Totals, 'requests' | 'total_tokens'> {
  const own = rows.filter((row) => (row.key_id ? row.key_id === key.id : row.bucket === key.name));
  return own.reduce(
    (sum, row) => ({
      requests: sum.requests + row.requests,
      total_tokens: sum.total_tokens + row.total_tokens,
    }),
    { requests: 0, total_tokens: 0 },
  );
}

/** The lines of a scale from 0 to at least `most`, at round numbers; whole ones for things that are counted. */
export function scaleLines(most: number): number[] {
  const rough = Math.max(most, 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? 10 * power);
  return Array.from({ length: Math.ceil(Math.max(most, 1) / step) + 1 }, (_, i) => i * step);
}

/** What one key has used of all tokens, from 0 to 1. */
export interface Share {
  name: string;
  tokens: number;
  part: number;
}

/** Those with the most tokens first; from the `most`th on they are summed up. */
export function sharesOf(rows: readonly UsageBucket[], most = 5): Share[] {
  const all = rows.reduce((sum, row) => sum + row.total_tokens, 0);
  if (all === 0) return [];
  const named = rows
    .filter((row) => row.total_tokens > 0)
    .sort((a, b) => b.total_tokens - a.total_tokens)
    .map((row) => ({
      name: row.bucket === WINDOW_KEY ? t('home.this_window') : rowName(rows, row),
      tokens: row.total_tokens,
    }));
  const shown = named.length > most ? named.slice(0, most - 1) : named;
  const rest = named.slice(shown.length);
  const others = {
    name: t('limits.others', { count: rest.length }),
    tokens: rest.reduce((sum, { tokens }) => sum + tokens, 0),
  };
  return [...shown, ...(rest.length > 0 ? [others] : [])].map((row) => ({ ...row, part: row.tokens / all }));
}
