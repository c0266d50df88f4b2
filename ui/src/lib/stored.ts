/** What the settings of the stored answers mean. */

import { t } from '../words.svelte';
import { bytes } from './format';

const MIB = 2 ** 20;

/** How long answers stay, in a sentence; null while a setting is unknown. A 0 means no limit. */
export function keptUntil(days: number | null, mebibytes: number | null): string | null {
  if (days === null || mebibytes === null) return null;
  const age = t('usage.days', { count: days });
  const size = bytes(mebibytes * MIB);
  if (days > 0) return mebibytes > 0 ? t('stored.until_both', { age, size }) : t('stored.until_age', { age });
  return mebibytes > 0 ? t('stored.until_size', { size }) : t('stored.until_never');
}
