/** The words of the window: one catalogue in each language, chosen by the system or by the person. */

import { createInstance } from 'i18next';

import de from './words/de.json';
import en from './words/en.json';

/** The languages, each with its name in itself. */
export const LANGUAGES = { en: 'English', de: 'Deutsch' } as const;

export type Language = keyof typeof LANGUAGES;

/** A text of the catalogue, without the ending that tells one from many. */
export type Key = Base<keyof typeof en>;

type Base<K extends string> = K extends `${infer B}_one` | `${infer B}_other` ? B : K;

/** How numbers and dates are written. English dates are in the order of day and month, with 24 hours. */
const LOCALES: Record<Language, { numbers: string; dates: string }> = {
  en: { numbers: 'en', dates: 'en-GB' },
  de: { numbers: 'de', dates: 'de' },
};

const CHOICE = 'language';

const catalogues = createInstance();
void catalogues.init({
  initAsync: false,
  lng: 'en',
  resources: { en: { translation: en }, de: { translation: de } },
  keySeparator: false,
  nsSeparator: false,
  // Svelte escapes what it shows.
  interpolation: { escapeValue: false, prefix: '{', suffix: '}' },
});

class Words {
  /** What the person chose; `auto` for the system's language. */
  choice = $state<Language | 'auto'>(remembered());

  readonly ofSystem = ofSystem();

  readonly language = $derived(this.choice === 'auto' ? this.ofSystem : this.choice);

  get locale() {
    return LOCALES[this.language];
  }

  /** Chooses for this window, from now on. */
  choose(choice: Language | 'auto') {
    this.choice = choice;
    localStorage.setItem(CHOICE, choice);
  }
}

export const words = new Words();

/** The text in the language of the window. `count` chooses between one and many, and is written as `{n}`. */
export function t(key: Key, values: Record<string, string | number> & { count?: number } = {}): string {
  const n =
    values.count === undefined ? '' : new Intl.NumberFormat(words.locale.numbers).format(values.count);
  return catalogues.t(key, { ...values, n: values['n'] ?? n, lng: words.language });
}

function remembered(): Language | 'auto' {
  const kept = typeof localStorage === 'undefined' ? null : localStorage.getItem(CHOICE);
  return kept !== null && kept in LANGUAGES ? (kept as Language) : 'auto';
}

/** The first of the system's languages that the window has. */
function ofSystem(): Language {
  const wanted = typeof window === 'undefined' ? [] : navigator.languages;
  const known = wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((code) => code in LANGUAGES);
  return (known as Language | undefined) ?? 'en';
}
