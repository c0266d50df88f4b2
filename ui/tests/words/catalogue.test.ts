import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, describe, expect, test } from 'vitest';

import { bytes, compact, count, fullTime, millis, moment, relative, share } from '../../src/lib/format';
import { t, words } from '../../src/words.svelte';
import de from '../../src/words/de.json';
import en from '../../src/words/en.json';

const SOURCE = fileURLToPath(new URL('../../src', import.meta.url));
const NOON = Date.UTC(2026, 2, 4, 12, 0, 0) / 1_000;

const languages: [name: string, catalogue: Record<string, string>][] = [
  ['English', en],
  ['German', de],
];
const keys = Object.keys(en);
const base = (key: string) => key.replace(/_(one|other)$/, '');
const isPlural = (key: string) => /_(one|other)$/.test(key);
const holes = (text: string) => [...new Set(text.match(/\{\w+\}/g))].sort();

describe('the catalogues', () => {
  test('no text is in one language only', () => {
    expect(Object.keys(de).filter((key) => !(key in en))).toEqual([]);
    expect(keys.filter((key) => !(key in de))).toEqual([]);
  });

  test.each(languages)('%s: no text is empty, and each has the holes of the others', (_, catalogue) => {
    for (const [key, text] of Object.entries(catalogue)) {
      expect(text.trim(), key).not.toBe('');
      expect(holes(text), key).toEqual(holes((en as Record<string, string>)[key] ?? ''));
    }
  });

  test.each(languages)('%s: what differs between one and many has both', (_, catalogue) => {
    for (const key of Object.keys(catalogue).filter(isPlural)) {
      expect(catalogue, key).toHaveProperty([`${base(key)}_one`]);
      expect(catalogue, key).toHaveProperty([`${base(key)}_other`]);
      // A key that is a word and a plural at once could not be told apart.
      expect(catalogue, key).not.toHaveProperty([base(key)]);
    }
  });

  test.each(languages)('%s: code and links are whole', (_, catalogue) => {
    for (const [key, text] of Object.entries(catalogue)) {
      expect((text.match(/`/g) ?? []).length % 2, key).toBe(0);
      expect(text.match(/\]\((?!#\/)/), key).toBeNull();
    }
  });

  test('every text is used', () => {
    const source = sources(SOURCE).join('\n');
    // Those whose end is put together from what they are about.
    const families = [...source.matchAll(/`([a-z_]+\.[a-z_]*)\$\{/g)].map(([, start]) => start ?? '');
    const unused = [...new Set(keys.map(base))].filter(
      (key) => !source.includes(`'${key}'`) && !families.some((start) => key.startsWith(start)),
    );
    expect(unused).toEqual([]);
  });
});

describe('in German', () => {
  afterEach(() => (words.choice = 'auto'));

  test('one and many, numbers, dates and times', () => {
    words.choice = 'de';
    expect(t('count.requests', { count: 1 })).toBe('1 Anfrage');
    expect(t('count.requests', { count: 1_200 })).toBe('1.200 Anfragen');
    expect(count(12_345)).toBe('12.345');
    expect(compact(8_400)).toBe('8.400');
    expect(share(38, 100)).toBe('38\u00a0%');
    expect(bytes(1_024)).toBe('1,0 KiB');
    expect(millis(2_440)).toBe('2,4 s');
    expect(relative(NOON - 300, NOON)).toBe('vor 5 Minuten');
    expect(relative(NOON + 86_400 * 12, NOON)).toBe('in 12 Tagen');
    expect(moment(NOON + 86_400, NOON, 'UTC')).toBe('Do., 12:00');
    expect(fullTime(NOON, 'UTC')).toBe('04.03.2026, 12:00:00');
  });
});

test('in English, one and many', () => {
  expect(t('count.requests', { count: 1 })).toBe('1 request');
  expect(t('count.requests', { count: 1_200 })).toBe('1,200 requests');
});

/** The text of every source file but tests. */
function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(svelte|ts)$/.test(name) && !name.endsWith('.test.ts'))
    .map((name) => readFileSync(join(folder, name), 'utf8'));
}
