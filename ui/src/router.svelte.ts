/** The route of the window: `#/view/argument`. */

import { takeTokenFromAddress } from './transport';

export const VIEWS = [
  'home',
  'chat',
  'models',
  'workers',
  'usage',
  'requests',
  'clients',
  'keys',
  'proof',
  'settings',
  'start',
] as const;

export type View = (typeof VIEWS)[number];

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
  return { view: (VIEWS as readonly string[]).includes(view) ? (view as View) : 'home', arg: arg || null };
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
