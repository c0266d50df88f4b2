/** Serves the built window at `/ui/` and the mock at `/control`, as the headless proxy does. */

import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';

import { fail, type Mock } from './mock';

export const TOKEN = 'the-control-token';

export const CSP =
  "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
  "connect-src 'self' ipc: http://ipc.localhost; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export class MockServer {
  readonly #mock: Mock;
  readonly #root: string;
  readonly #server: Server;

  constructor(mock: Mock, root: string) {
    this.#mock = mock;
    this.#root = root;
    this.#server = createServer((request, response) => {
      this.serve(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
  }

  /** Starts it; resolves to its origin. */
  async start(port = 0): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Answers one request. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://mock');
    if (url.pathname.startsWith('/ui/')) return this.#file(url.pathname.slice(4) || 'index.html', response);
    if (request.headers.authorization !== `Bearer ${TOKEN}`) {
      const { status, body } = fail(401, 'The control API needs its token.', 'invalid_control_token');
      return json(response, status, body);
    }
    if (url.pathname === '/control/events') return this.#events(response);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    if (url.pathname === '/control/try') {
      this.#mock.bodies.push(JSON.parse(text));
      return this.#try(response);
    }
    const { status, body } = this.#mock.handle(
      request.method ?? 'GET',
      request.url ?? '/',
      text ? JSON.parse(text) : null,
    );
    json(response, status, body);
  }

  async #file(name: string, response: ServerResponse): Promise<void> {
    const path = join(this.#root, normalize(`/${name}`));
    const content = await readFile(path).catch(() => null);
    if (content === null) return json(response, 404, null);
    response.writeHead(200, {
      'content-type': TYPES[extname(path)] ?? 'application/octet-stream',
      'content-security-policy': CSP,
      'x-content-type-options': 'nosniff',
    });
    response.end(content);
  }

  #events(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    const send = (event: string, data: unknown) =>
      response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    send('status', this.#mock.world.status);
    response.on('close', this.#mock.listen(send));
  }

  async #try(response: ServerResponse): Promise<void> {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    response.on('close', () => this.#mock.asked.push('closed /control/try'));
    for (const { event, data } of this.#mock.answer()) {
      response.write(`event: ${event}\ndata: ${data}\n\n`);
      await this.#mock.pace?.();
      if (response.destroyed) return;
    }
    response.end();
  }
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(body === null ? '' : typeof body === 'string' ? body : JSON.stringify(body));
}
