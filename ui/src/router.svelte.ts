/** The route of the window: `#/view/argument`. */

import { takeTokenFromAddress } from './transport';

export const VIEWS = {
  home: 'Home',
  models: 'Models',
  workers: 'Workers',
  usage: 'Usage',
  requests: 'Requests',
  clients: 'Clients',
  keys: 'Keys',
  proof: 'Proof',
  settings: 'Settings',
  start: 'Set up',
} as const;

export type View = keyof typeof VIEWS;

export interface Route {
  view: View;
  /** The part after the view: a request's id, a client, a page of the settings. */
  arg: string | null;
}

/** The route of a hash; Home for an unknown one. */
export function parseRoute(hash: string): Route {
  const [view = '', arg] = hash
    .replace(/^#?\/?/, '')
    .split('/')
    .map(decodeURIComponent);
  return { view: view in VIEWS ? (view as View) : 'home', arg: arg || null };
}

class Router {
  route: Route;

  constructor() {
    takeTokenFromAddress();
    this.route = $state.raw(parseRoute(location.hash));
    window.addEventListener('hashchange', () => (this.route = parseRoute(location.hash)));
  }
}

export const router = new Router();
