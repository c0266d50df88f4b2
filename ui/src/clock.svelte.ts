import { createSubscriber } from 'svelte/reactivity';

/** The time in seconds. It is updated only while an element of the page shows it. */
class Clock {
  #subscribe = createSubscriber((update) => {
    const timer = setInterval(update, 1_000);
    return () => clearInterval(timer);
  });

  get now(): number {
    this.#subscribe();
    return Date.now() / 1_000;
  }
}

export const clock = new Clock();
