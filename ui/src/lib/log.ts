/** Lines of the proxy's log, taken apart for people. */

import { t, type Key } from '../words.svelte';
import type { Tone } from './state';

export const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'] as const;

export type Level = (typeof LEVELS)[number];

export interface Line {
  /** The line as it is, with those that belong to it. */
  raw: string;
  /** In milliseconds since the epoch; null of a line that does not tell. */
  at: number | null;
  level: Level | null;
  /** The module that wrote it, in Rust's form. */
  module: string | null;
  /** What happened, with its details. */
  text: string;
}

const TEXT = /^(?<time>\d{4}-\d\d-\d\dT[\d:.]+Z?)\s+(?<level>ERROR|WARN|INFO|DEBUG|TRACE)\s+(?<rest>.*)$/s;
/** The spans around an event, such as `request{id=1}:http{route=/v1}:`, then the module. */
const ORIGIN = /^(?<spans>(?:[\w.-]+(?:\{.*?\})?:)*?)\s*(?<module>[a-z_]\w*(?:::\w+)*):\s(?<text>.*)$/s;

/** The lines, oldest first. What does not begin like a line of the log belongs to the one before. */
export function linesOf(lines: string[]): Line[] {
  const found: Line[] = [];
  for (const raw of lines) {
    const line = ofText(raw) ?? ofJson(raw);
    const last = found.at(-1);
    if (line) found.push(line);
    else if (last) Object.assign(last, { raw: `${last.raw}\n${raw}`, text: `${last.text}\n${raw}` });
    else if (raw.trim()) found.push({ raw, at: null, level: null, module: null, text: raw });
  }
  return found;
}

function ofText(raw: string): Line | null {
  const { time, level, rest = '' } = TEXT.exec(raw)?.groups ?? {};
  if (!time || !level) return null;
  const { module = null, text = rest } = ORIGIN.exec(rest)?.groups ?? {};
  return { raw, at: timeOf(time), level: level.toLowerCase() as Level, module, text };
}

/** A line of `log_format = json`. */
function ofJson(raw: string): Line | null {
  if (!raw.startsWith('{')) return null;
  try {
    const said = JSON.parse(raw) as {
      timestamp?: string;
      level?: string;
      target?: string;
      fields?: Record<string, unknown>;
    };
    if (!said.timestamp || !said.level) return null;
    const { message = '', ...fields } = said.fields ?? {};
    const details = Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`);
    return {
      raw,
      at: timeOf(said.timestamp),
      level: LEVELS.find((level) => level === said.level?.toLowerCase()) ?? null,
      module: said.target ?? null,
      text: [String(message), ...details].join(' '),
    };
  } catch {
    return null;
  }
}

function timeOf(text: string): number | null {
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : at;
}

/** Which part of the proxy a module belongs to, by the beginning of its path. */
const AREAS: [beginning: RegExp, area: Key][] = [
  [/^panic/, 'area.panic'],
  [/^(codex_proxy_app|proxy_app|app)\b/, 'area.application'],
  [/::(http|exchange|recording|request_log|event_stream|throttle|threads)\b/, 'area.requests'],
  [/::(worker|dispatch|process)\b/, 'area.workers'],
  [/::response_store\b/, 'stored.title'],
  [/::(keys|secret)\b/, 'area.keys'],
  [/::(usage|budget)\b/, 'area.usage'],
  [/::(account)\b/, 'area.account'],
  [/^codex$|::codex_install\b/, 'area.codex'],
  [/::(prove|reference)\b/, 'area.proof'],
  [/::(config|control)\b/, 'area.settings'],
  [/::(client_setup|client_family)\b/, 'area.clients'],
  [/::(image_fetch)\b/, 'area.images'],
  [/::(telemetry)\b/, 'area.telemetry'],
  [/^protocol\b/, 'area.requests'],
];

/** The part of the proxy that wrote a line, in words. */
export function areaOf({ module }: Line): string {
  if (module === null) return '';
  const area = AREAS.find(([beginning]) => beginning.test(module))?.[1];
  return t(area ?? 'area.proxy');
}

/** How a level is shown. */
export function toneOf(level: Level | null): Tone | 'plain' {
  if (level === 'error') return 'bad';
  return level === 'warn' ? 'warn' : 'plain';
}

/** What the window itself causes by reading the log. */
const OWN = /^answered path="\/control\/logs"/;

/** The lines of at least this level that hold these words. */
export function matchingLines(lines: Line[], least: Level | null, words: string): Line[] {
  const most = least === null ? LEVELS.length : LEVELS.indexOf(least);
  const wanted = words.trim().toLowerCase();
  return lines.filter(
    ({ level, raw, text }) =>
      !OWN.test(text) &&
      (level === null || LEVELS.indexOf(level) <= most) &&
      raw.toLowerCase().includes(wanted),
  );
}
