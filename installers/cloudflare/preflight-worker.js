// Answers preflights at Cloudflare's edge for the pages that may call Codex Proxy, so that they reach no origin: their
// headers are reflected, all of them, as clients add new ones (X-Stainless-*). Every other request goes on as it came.
//
// Keep the list like PROXY_CORS_ALLOWED_ORIGINS. Further origins, such as those of your own pages, are in the variable
// ALLOWED_ORIGINS of wrangler.toml, with commas between.

const ORIGINS = ['app://obsidian.md', 'capacitor://localhost'];
const LOCAL_PAGE = /^https?:\/\/localhost(:\d{1,5})?$/;
const METHODS = 'GET, HEAD, POST, DELETE, OPTIONS';
// A list of header names, and no longer than any client's.
const HEADER_NAMES = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+(\s*,\s*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*$/;
const MOST = 2000;

export function mayCall(origin, env = {}) {
  const further = (env.ALLOWED_ORIGINS ?? '').split(',').map((entry) => entry.trim()).filter(Boolean);
  // Some versions of Capacitor end theirs with a slash.
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

// Method, path, origin and verdict, for `wrangler tail`; no header that could hold a key, and no query.
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
    // The answer's body is handed on as it comes, so a stream of events stays one.
    return fetch(request);
  },
};
