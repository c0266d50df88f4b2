// Answers preflights at Cloudflare's edge for the web pages that may use Codex Proxy, so preflights do not reach your
// server. It allows all requested headers, because clients add new ones (X-Stainless-*). It forwards every other request
// unchanged.
//
// Keep this list equal to PROXY_CORS_ALLOWED_ORIGINS. Put more origins, such as your own pages, in the variable
// ALLOWED_ORIGINS of wrangler.toml, separated by commas.

const ORIGINS = ['app://obsidian.md', 'capacitor://localhost'];
const LOCAL_PAGE = /^https?:\/\/localhost(:\d{1,5})?$/;
const METHODS = 'GET, HEAD, POST, DELETE, OPTIONS';
// A list of header names, with a maximum length that no real client reaches.
const HEADER_NAMES = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+(\s*,\s*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*$/;
const MOST = 2000;

export function mayCall(origin, env = {}) {
  const further = (env.ALLOWED_ORIGINS ?? '').split(',').map((entry) => entry.trim()).filter(Boolean);
  // Some versions of Capacitor add a slash to their origin.
  const bare = origin.replace(/\/$/, '');
  return ORIGINS.includes(bare) || LOCAL_PAGE.test(bare) || further.includes(bare);
}

function isPreflight(request) {
  return (
    request.method === 'OPTIONS' &&
    request.headers.has('Origin') &&
    request.headers.has('Access-Control-Request-Method')
  );
}

export function preflight(request, env) {
  const origin = request.headers.get('Origin');
  const asked = request.headers.get('Access-Control-Request-Headers') ?? '';
  const headers = new Headers({
    Vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  const allowed = mayCall(origin, env);
  if (allowed) {
    headers.set('Access-Control-Allow-Origin', origin);
    headers.set('Access-Control-Allow-Methods', METHODS);
    headers.set('Access-Control-Max-Age', '600');
    if (asked.length <= MOST && HEADER_NAMES.test(asked)) {
      headers.set('Access-Control-Allow-Headers', asked);
    }
  }
  return { allowed, response: new Response(null, { status: 204, headers }) };
}

// Logs method, path, origin and verdict for `wrangler tail`. It logs no query and no header that could contain a key.
function note(request, verdict) {
  const { pathname } = new URL(request.url);
  console.log(JSON.stringify({ method: request.method, path: pathname, origin: request.headers.get('Origin'), verdict }));
}

export default {
  async fetch(request, env) {
    if (isPreflight(request)) {
      const { allowed, response } = preflight(request, env);
      note(request, allowed ? 'answered' : 'not allowed');
      return response;
    }
    if (request.method === 'POST') {
      note(request, 'passed on');
    }
    // Forwards the answer's body piece by piece, so a stream of events stays a stream.
    return fetch(request);
  },
};
