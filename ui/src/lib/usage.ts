/** The queries and the chart data of the usage view. */

import type { Totals, Usage, UsageBucket, UsageGroup } from '../api.generated';
import { moment } from './format';

export type Range = 'today' | '7d' | '30d' | '90d';
export type Metric = 'tokens' | 'requests';

export const RANGES: Record<Range, { name: string; days: number }> = {
  today: { name: 'Today', days: 1 },
  '7d': { name: '7 days', days: 7 },
  '30d': { name: '30 days', days: 30 },
  '90d': { name: '90 days', days: 90 },
};

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
      { name: 'Answered', color: '--chart-1', values: each((t) => t.requests - t.errors - t.cancelled) },
      { name: 'Cancelled', color: '--chart-2', values: each((t) => t.cancelled) },
      { name: 'Failed', color: '--chart-bad', values: each((t) => t.errors) },
    ];
  }
  return [
    { name: 'Input, cached', color: '--chart-3', values: each((t) => t.cached_tokens) },
    { name: 'Input, new', color: '--chart-1', values: each((t) => t.input_tokens - t.cached_tokens) },
    { name: 'Output', color: '--chart-2', values: each((t) => t.output_tokens) },
  ];
}

/** The values of each layer, added to those of the layers below. */
export function stacked(layers: Layer[]): number[][] {
  const sums: number[] = [];
  return layers.map(({ values }) => values.map((value, i) => (sums[i] = (sums[i] ?? 0) + value)));
}

/** The name of a row; with the key's id if two keys have had the same name. */
export function rowName(rows: readonly UsageBucket[], row: UsageBucket): string {
  const name = row.bucket || 'unknown';
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
  if (bucket.start === null) return bucket.bucket || 'unknown';
  if (group === 'hour') return moment(bucket.start, now, zone);
  return new Intl.DateTimeFormat('en-GB', {
    weekday: 'short',
    day: 'numeric',
    month: 'short',
    timeZone: zone,
  }).format(bucket.start * 1_000);
}
