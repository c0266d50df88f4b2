import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import worker from './preflight-worker.js';

const URL = 'https://codex.example.com/v1/chat/completions?x=secret';
const lines = [];
const passed = [];
const { log } = console;
const { fetch } = globalThis;

beforeEach(() => {
  lines.length = passed.length = 0;
  console.log = (line) => lines.push(line);
  globalThis.fetch = async (request) => {
    passed.push(request);
    return new Response('data: [DONE]\n\n', { headers: { 'Content-Type': 'text/event-stream' } });
  };
});

afterEach(() => {
  console.log = log;
  globalThis.fetch = fetch;
});

// Undici's own Request keeps headers that a browser would not let a script set.
function preflight(origin, asked) {
  const headers = new Headers({ Origin: origin, 'Access-Control-Request-Method': 'POST' });
  if (asked !== undefined) headers.set('Access-Control-Request-Headers', asked);
  return { method: 'OPTIONS', url: URL, headers };
}

test('allowed pages get all headers that they ask for', async () => {
  const asked = 'authorization, content-type, x-stainless-os, user-agent';
  for (const origin of [
    'app://obsidian.md',
    'capacitor://localhost',
    'capacitor://localhost/',
    'http://localhost',
    'http://localhost:1313',
    'https://localhost',
    'https://chat.example.com',
  ]) {
    const response = await worker.fetch(preflight(origin, asked), { ALLOWED_ORIGINS: ' https://chat.example.com,' });
    assert.equal(response.status, 204, origin);
    assert.equal(response.headers.get('Access-Control-Allow-Origin'), origin);
    assert.equal(response.headers.get('Access-Control-Allow-Headers'), asked);
    assert.match(response.headers.get('Access-Control-Allow-Methods'), /POST/);
    assert.equal(response.headers.get('Access-Control-Max-Age'), '600');
    assert.match(response.headers.get('Vary'), /Origin/);
  }
  assert.equal(passed.length, 0, 'no origin is asked');
});

test('other pages get no permission', async () => {
  for (const origin of [
    'https://evil.example',
    'https://chat.example.com',
    'http://localhost.evil.example',
    'http://localhost:80@evil.example',
    'app://obsidian.md.evil',
    'null',
    '',
  ]) {
    const response = await worker.fetch(preflight(origin, 'authorization'), {});
    assert.equal(response.status, 204, origin);
    for (const name of ['Access-Control-Allow-Origin', 'Access-Control-Allow-Headers', 'Access-Control-Allow-Methods']) {
      assert.equal(response.headers.get(name), null, `${origin} ${name}`);
    }
  }
  assert.equal(passed.length, 0);
});

test('an invalid list of header names is not returned', async () => {
  for (const asked of ['', 'a b', 'a,,b', 'x:y', 'a,'.repeat(2000)]) {
    const response = await worker.fetch(preflight('app://obsidian.md', asked), {});
    assert.equal(response.headers.get('Access-Control-Allow-Headers'), null, asked.slice(0, 20));
    assert.equal(response.headers.get('Access-Control-Allow-Origin'), 'app://obsidian.md');
  }
});

test('all other requests and answers are forwarded unchanged', async () => {
  const others = [
    new Request(URL, { method: 'POST', headers: { Authorization: 'Bearer secret' }, body: '{"input":"secret"}' }),
    new Request(URL),
    new Request(URL, { method: 'OPTIONS' }),
  ];
  for (const request of others) {
    const response = await worker.fetch(request, {});
    assert.equal(passed.at(-1), request);
    assert.equal(await response.text(), 'data: [DONE]\n\n');
  }
});

test('the log contains no secret', async () => {
  await worker.fetch(preflight('app://obsidian.md', 'authorization'), {});
  await worker.fetch(
    new Request(URL, { method: 'POST', headers: { Authorization: 'Bearer secret' }, body: 'secret' }),
    {},
  );
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [
      { method: 'OPTIONS', path: '/v1/chat/completions', origin: 'app://obsidian.md', verdict: 'answered' },
      { method: 'POST', path: '/v1/chat/completions', origin: null, verdict: 'passed on' },
    ],
  );
});
