/** The sizes of texts, in percent. */

export const ZOOMS = [50, 67, 75, 80, 90, 100, 110, 125, 150, 175, 200, 250, 300];

const USUAL = 100;

/** The size after one of the keys for it; null for any other key. */
export function zoomed(percent: number, key: string): number | null {
  if (key === '0') return USUAL;
  // On a keyboard where + is above =, few people press Shift for it.
  if (key === '+' || key === '=') return ZOOMS.find((size) => size > percent) ?? percent;
  if (key === '-') return [...ZOOMS].reverse().find((size) => size < percent) ?? percent;
  return null;
}
