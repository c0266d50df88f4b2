/** When a limit will be reached, if use goes on as it has. */

import type { LimitReading, LimitWindow } from '../api.generated';

export type Outlook = { kind: 'full'; at: number } | { kind: 'lasts' };

/** Resets are told to the second or the minute: those so close together are of one window. */
const SAME_RESET_SECONDS = 120;

/**
 * What the pace leads to: when the window is full, or that it lasts until it resets. Null while too little is known.
 *
 * The pace is that of `history` where it goes back far enough, a tenth of the window, else the mean since the window
 * began.
 */
export function outlook(window: LimitWindow, history: LimitReading[], now: number): Outlook | null {
  const pace = paceNow(window, history, now);
  if (pace === null || window.resets_at === null) return null;
  const at = pace > 0 ? now + (100 - window.used_percent) / pace : Infinity;
  return at < window.resets_at ? { kind: 'full', at } : { kind: 'lasts' };
}

/** Percent a second; null while too little is known, or nothing is left to foretell. */
function paceNow(window: LimitWindow, history: LimitReading[], now: number): number | null {
  const { used_percent, window_minutes, resets_at } = window;
  if (window_minutes === null || resets_at === null || resets_at <= now || used_percent >= 100) return null;
  const length = window_minutes * 60;
  const least = length / 10;
  return paceOf(history, window, least) ?? meanPace(used_percent, now - (resets_at - length), least);
}

/** A place in a chart: both from 0 to 1, along the window's time and of what is used. */
export type Point = [time: number, used: number];

/** One window as a chart. */
export interface LimitChart {
  start: number;
  end: number;
  now: number;
  /** From the window's begin to the first reading: nobody has seen how it went. */
  unseen: Point[];
  seen: Point[];
  /** From now on at this pace; empty where nothing can be foretold. */
  ahead: Point[];
  /** When the first reading was. */
  since: number;
}

/** The window from its begin to its reset; null while that is unknown. */
export function chartOf(window: LimitWindow, history: LimitReading[], now: number): LimitChart | null {
  const { used_percent, window_minutes, resets_at } = window;
  if (window_minutes === null || resets_at === null || resets_at <= now) return null;
  const length = window_minutes * 60;
  const start = resets_at - length;
  const place = (at: number, used: number): Point => [
    Math.min(1, Math.max(0, (at - start) / length)),
    Math.min(1, used / 100),
  ];
  const own = ofSame(history, resets_at).filter(({ at }) => at >= start && at <= now);
  const since = own[0]?.at ?? now;
  const seen = own.map(({ at, window: past }) => place(at, past.used_percent));
  const last = place(now, used_percent);
  const pace = paceNow(window, history, now);
  const full = pace ? now + (100 - used_percent) / pace : Infinity;
  const goal =
    full < resets_at ? place(full, 100) : place(resets_at, used_percent + (pace ?? 0) * (resets_at - now));
  return {
    start,
    end: resets_at,
    now: last[0],
    unseen: [place(start, 0), seen[0] ?? last],
    seen: [...seen, last],
    ahead: pace === null ? [] : [last, goal],
    since,
  };
}

function ofSame(history: LimitReading[], resets: number): LimitReading[] {
  return history.filter(
    ({ window }) => window.resets_at !== null && Math.abs(window.resets_at - resets) <= SAME_RESET_SECONDS,
  );
}

/** Percent a second over what was seen of this window, if that is at least `least` seconds. */
function paceOf(history: LimitReading[], { resets_at }: LimitWindow, least: number): number | null {
  const own = ofSame(history, resets_at ?? 0);
  const last = own.at(-1);
  // The latest that is far enough back tells the most of the present.
  const first = last && own.filter(({ at }) => last.at - at >= least).at(-1);
  if (!first) return null;
  return Math.max(0, last.window.used_percent - first.window.used_percent) / (last.at - first.at);
}

/** Percent a second since the window began, once that is a while ago. */
function meanPace(used: number, seconds: number, least: number): number | null {
  return seconds >= least ? used / seconds : null;
}
