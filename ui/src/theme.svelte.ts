/** Light or dark: what the system says, or what the person has chosen for this window. */

export const THEMES = ['auto', 'light', 'dark'] as const;

export type Theme = (typeof THEMES)[number];

const CHOICE = 'theme';

class Look {
  choice = $state<Theme>(remembered());

  choose(choice: Theme) {
    this.choice = choice;
    localStorage.setItem(CHOICE, choice);
    this.apply();
  }

  /** Colours the page. The style sheet decides by itself while nothing is chosen. */
  apply() {
    if (this.choice === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = this.choice;
  }
}

export const look = new Look();

function remembered(): Theme {
  const kept = typeof localStorage === 'undefined' ? null : localStorage.getItem(CHOICE);
  return THEMES.find((theme) => theme === kept) ?? 'auto';
}
