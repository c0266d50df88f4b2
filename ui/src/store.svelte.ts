/** The state of the proxy in the window: one store, updated by events. Views derive everything else from it. */

import type { CaptureState, RequestEntry, Status } from './api.generated';
import * as control from './api';
import { upsert } from './lib/requests';
import type { ControlError } from './transport';

class Store {
  /** The latest state from the proxy; null before the first one. */
  status = $state.raw<Status | null>(null);
  /** Why there is no connection; null while there is one. */
  problem = $state.raw<ControlError | null>(null);
  /** Changes when another proxy is running: data that a view has read from the old one are then no longer valid. */
  life = $state(0);
  /** The newest requests, newest first. */
  requests = $state.raw<RequestEntry[]>([]);
  /** Whether requests are recorded in full; null before this was read. */
  capture = $state.raw<CaptureState | null>(null);

  /** Follows the proxy's events until the returned function is called. */
  start(): () => void {
    return control.transport.follow({
      event: ({ event, data }) => {
        if (event === 'status') this.status = data;
        if (event === 'request') this.requests = upsert(this.requests, data);
      },
      connected: (problem) => {
        if (this.problem?.code === 'not_running' && problem === null) this.life += 1;
        this.problem = problem;
      },
    });
  }

  /** Reads the newest requests, or those before the oldest known one. Returns whether there were any. */
  async loadRequests(limit: number, older = false): Promise<boolean> {
    const before = older ? this.requests.at(-1)?.id : undefined;
    const page = await control.requests.list(limit, before);
    this.capture = page.capture;
    this.requests = page.requests.reduceRight(upsert, this.requests);
    return page.requests.length > 0;
  }
}

export const store = new Store();
