/** When a limit will be reached, if use goes on as it has. */

import type { LimitWindow } from '../api.generated';

/** How much was used at some time, in seconds. */
export interface Sample {
  at: number;
  window: LimitWindow;
}

export type Outlook = { kind: 'full'; at: number } | { kind: 'lasts' };

/** Resets are told to the second or the minute: those so close together are of one window. */
const SAME_RESET_SECONDS = 120;

/**
 * What the pace leads to: when the window is full, or that it lasts until it resets. Null while too little is known.
 *
 * The pace is that of `history` where it goes back far enough, a tenth of the window, else the mean since the window
 * began.
 */
export function outlook(window: LimitWindow, history: Sample[], now: number): Outlook | null {
  const { used_percent, window_minutes, resets_at } = window;
  if (window_minutes === null || resets_at === null || resets_at <= now || used_percent >= 100) return null;
  const length = window_minutes * 60;
  const least = length / 10;
  const pace = paceOf(history, window, least) ?? meanPace(used_percent, now - (resets_at - length), least);
  if (pace === null) return null;
  const at = pace > 0 ? now + (100 - used_percent) / pace : Infinity;
  return at < resets_at ? { kind: 'full', at } : { kind: 'lasts' };
}

/** Percent a second over what was seen of this window, if that is at least `least` seconds. */
function paceOf(history: Sample[], { resets_at }: LimitWindow, least: number): number | null {
  const own = history.filter(
    ({ window }) =>
      window.resets_at !== null && Math.abs(window.resets_at - (resets_at ?? 0)) <= SAME_RESET_SECONDS,
  );
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
