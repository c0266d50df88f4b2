/** Formats numbers, sizes and times. Pure functions: the current time is an argument. */

import { t, words } from '../words.svelte';

const MINUTE = 60;
const HOUR = 3_600;
const DAY = 86_400;

/** `12,345`. */
export function count(value: number): string {
  return number(value, {});
}

/** `12.3K`. */
export function compact(value: number): string {
  return number(value, { notation: 'compact', maximumFractionDigits: 1, useGrouping: true });
}

/** `38 %`, or `–` if the whole is 0. */
export function share(part: number, whole: number): string {
  return whole > 0 ? `${number((part / whole) * 100, { maximumFractionDigits: 0 })}\u00a0%` : '–';
}

function number(value: number, options: Intl.NumberFormatOptions): string {
  return new Intl.NumberFormat(words.locale.numbers, options).format(value);
}

/** With exactly so many digits behind the point. */
function fixed(value: number, digits: number): string {
  return number(value, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** `181 MiB`. */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), units.length - 1);
  const scaled = value / 2 ** (10 * step);
  return `${fixed(scaled, step === 0 || scaled >= 10 ? 0 : 1)} ${units[step]}`;
}

/** `850 ms`, `2.4 s`, `3 min 5 s`; `–` for a missing value. */
export function millis(value: number | null): string {
  if (value === null) return '–';
  if (value < 1_000) return `${Math.round(value)} ms`;
  if (value < 59_950) return `${fixed(value / 1_000, 1)} s`;
  return duration(Math.round(value / 1_000));
}

/** `45 s`, `3 min`, `2 h 5 min`, `4 d 3 h`: at most two units. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return pair(whole, MINUTE, 'min', 1, 's');
  if (whole < DAY) return pair(whole, HOUR, 'h', MINUTE, 'min');
  return pair(whole, DAY, 'd', HOUR, 'h');
}

function pair(whole: number, big: number, bigName: string, small: number, smallName: string): string {
  const rest = Math.floor((whole % big) / small);
  const first = `${Math.floor(whole / big)} ${bigName}`;
  return rest === 0 ? first : `${first} ${rest} ${smallName}`;
}

/** `just now`, `5 minutes ago`, `in 2 hours`. Times are seconds. */
export function relative(then: number, now: number): string {
  const gap = Math.abs(then - now);
  if (gap < 10) return t('time.now');
  const format = new Intl.RelativeTimeFormat(words.locale.numbers, { numeric: 'always' });
  const sign = then < now ? -1 : 1;
  if (gap < MINUTE) return format.format(sign * Math.round(gap), 'second');
  if (gap < HOUR) return format.format(sign * Math.round(gap / MINUTE), 'minute');
  if (gap < 2 * DAY) return format.format(sign * Math.round(gap / HOUR), 'hour');
  return format.format(sign * Math.round(gap / DAY), 'day');
}

/** `14:05` today, `Tue 14:05` within a week, else `3 Mar, 14:05`. Times are seconds. */
export function moment(then: number, now: number, zone?: string): string {
  const options: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  if (zone) options.timeZone = zone;
  const gap = Math.abs(then - now);
  if (!isSameDay(then, now, zone)) {
    if (gap < 6 * DAY) options.weekday = 'short';
    else Object.assign(options, { day: 'numeric', month: 'short' });
    if (gap > 300 * DAY) options.year = 'numeric';
  }
  return new Intl.DateTimeFormat(words.locale.dates, options).format(then * 1_000);
}

/** `14:05:09`. Takes milliseconds. */
export function clockTime(ms: number, zone?: string): string {
  const options: Intl.DateTimeFormatOptions = { timeStyle: 'medium' };
  if (zone) options.timeZone = zone;
  return new Intl.DateTimeFormat(words.locale.dates, options).format(ms);
}

/** A date and time in full, for a `title` or a detail page. Takes seconds. */
export function fullTime(seconds: number, zone?: string): string {
  const options: Intl.DateTimeFormatOptions = { dateStyle: 'medium', timeStyle: 'medium' };
  if (zone) options.timeZone = zone;
  return new Intl.DateTimeFormat(words.locale.dates, options).format(seconds * 1_000);
}

/** `5-hour limit`, `Weekly limit`, by the length of its window. */
export function windowName(minutes: number | null): string {
  if (minutes === null) return t('time.limit');
  const hours = Math.round(minutes / 60);
  if (hours >= 24 * 6.5 && hours <= 24 * 7.5) return t('time.weekly_limit');
  if (hours === 24) return t('time.daily_limit');
  if (hours > 0 && hours % 24 === 0) return t('time.days_limit', { n: hours / 24 });
  return hours >= 1 ? t('time.hours_limit', { n: hours }) : t('time.minutes_limit', { n: minutes });
}

/** `max_body_bytes` → `Max body bytes`. */
export function titleOf(key: string): string {
  const words = key
    .replace(/_/g, ' ')
    .replace(/\b(api|cors|otel|rss|sse|url|npm)\b/gi, (word) => word.toUpperCase())
    .replace(/\benv\b/, 'environment')
    .replace(/\bparams\b/, 'parameters')
    .replace(/\bms\b/, '(ms)')
    .replace(/\bmb\b/, '(MiB)');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Whether both times, in seconds, are on one day. */
export function isSameDay(one: number, other: number, zone?: string): boolean {
  const format = new Intl.DateTimeFormat('en-GB', {
    dateStyle: 'short',
    ...(zone ? { timeZone: zone } : {}),
  });
  return format.format(one * 1_000) === format.format(other * 1_000);
}
