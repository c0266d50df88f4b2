/** A short message that is shown briefly and read once by a screen reader. */

const SHOWN_MS = 4_000;

class Announcer {
  text = $state('');
  #timer: ReturnType<typeof setTimeout> | undefined;

  say(text: string) {
    clearTimeout(this.#timer);
    this.text = text;
    this.#timer = setTimeout(() => (this.text = ''), SHOWN_MS);
  }
}

export const announcer = new Announcer();
