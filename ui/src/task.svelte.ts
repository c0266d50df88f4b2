/** One operation that reads from the proxy or changes it: its result, its error, whether it is running. */

import { ControlError } from './transport';

export class Task<A extends unknown[], T> {
  value = $state.raw<T | null>(null);
  error = $state.raw<ControlError | null>(null);
  busy = $state(false);
  readonly #work: (...args: A) => Promise<T>;
  #turn = 0;

  constructor(work: (...args: A) => Promise<T>) {
    this.#work = work;
  }

  /** Runs it; returns whether it succeeded. The result of an earlier call that ends later is dropped. */
  run = async (...args: A): Promise<boolean> => {
    const turn = ++this.#turn;
    this.busy = true;
    this.error = null;
    try {
      const value = await this.#work(...args);
      if (turn === this.#turn) this.value = value;
      return true;
    } catch (thrown) {
      if (turn === this.#turn) this.error = ControlError.of(thrown);
      return false;
    } finally {
      if (turn === this.#turn) this.busy = false;
    }
  };
}
