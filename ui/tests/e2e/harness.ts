/** Opens the built window in Chromium, by either transport, and watches for what must never happen. */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

import type { AxeResults, RunOptions } from 'axe-core';
import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from 'playwright-core';
import { expect } from 'vitest';

import { Mock, SECRET } from '../mock/mock';
import { MockServer, TOKEN } from '../mock/server';
import type { Scenario } from '../mock/world';
import { fakeTauri } from './tauri';

export const DIST = fileURLToPath(new URL('../../dist', import.meta.url));
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const MOST_TABS = 400;

export type Way = 'http' | 'app';

export interface Options {
  scenario?: Scenario;
  way?: Way;
  view?: string;
  context?: BrowserContextOptions;
  /** Changes the proxy before the window is opened. */
  prepare?: (mock: Mock) => void;
  /** Whether the address holds the token; only over HTTP. */
  token?: boolean;
}

export async function launch(): Promise<Browser> {
  if (!existsSync(`${DIST}/index.html`)) throw new Error('There is no build to test. Run: npm run build');
  if (!existsSync(CHROMIUM)) throw new Error(`There is no ${CHROMIUM}. Install chromium, or set CHROMIUM.`);
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** One open page, watched for what must never happen. */
export class Pane {
  readonly #problems: string[] = [];

  constructor(
    readonly page: Page,
    readonly origin: string,
  ) {
    page.setDefaultTimeout(30_000);
    this.#watch();
  }

  /** A new page that may use the clipboard, with axe in it. */
  static async blank(browser: Browser, origin: string, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await browser.newContext({
      viewport: { width: 1_024, height: 768 },
      reducedMotion: 'reduce',
      timezoneId: 'UTC',
      ...options,
    });
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin });
    const page = await context.newPage();
    await page.addInitScript({ path: AXE });
    return page;
  }

  #watch() {
    this.page.on('pageerror', (error) => this.#problems.push(String(error)));
    this.page.on('console', (message) => {
      const isExpected = message.text().startsWith('Failed to load resource');
      if (message.type() === 'error' && !isExpected) this.#problems.push(message.text());
    });
    this.page.on('request', (request) => {
      const { protocol, origin } = new URL(request.url());
      const isOurs = origin === this.origin || protocol === 'blob:' || protocol === 'data:';
      if (!isOurs) this.#problems.push(`a request to ${origin}`);
    });
  }

  /** Closes it, after a last look for errors, refused content and a secret on the page. */
  async close(...secrets: string[]): Promise<void> {
    const content = await this.page.content();
    for (const secret of secrets) expect(content).not.toContain(secret);
    await this.page.context().close();
    if (this.#problems.length > 0) throw new Error(this.#problems.join('\n'));
  }

  async go(view: string): Promise<void> {
    await this.page.evaluate((hash) => (location.hash = hash), view);
  }

  /** Moves the focus with Tab alone until it is on `target`. */
  async tabTo(target: Locator, key: 'Tab' | 'Shift+Tab' = 'Tab'): Promise<void> {
    await target.waitFor();
    for (let i = 0; i < MOST_TABS; i++) {
      if (await target.evaluate((element) => element === document.activeElement)) return;
      await this.page.keyboard.press(key);
    }
    throw new Error(`${String(target)} cannot be reached with Tab`);
  }

  /** Reaches a control with Tab and presses it. */
  async press(target: Locator, key: 'Enter' | 'Space' = 'Enter'): Promise<void> {
    await this.tabTo(target);
    await this.page.keyboard.press(key);
  }

  /** Reaches a field with Tab and types over what is in it. */
  async type(target: Locator, text: string): Promise<void> {
    await this.tabTo(target);
    await this.page.keyboard.press('ControlOrMeta+A');
    await this.page.keyboard.insertText(text);
  }

  button(name: string | RegExp): Locator {
    return this.page.getByRole('button', { name, exact: typeof name === 'string' });
  }

  link(name: string | RegExp): Locator {
    return this.page.getByRole('link', { name, exact: typeof name === 'string' });
  }

  async sees(text: string | RegExp): Promise<void> {
    await this.page.getByText(text).first().waitFor();
  }

  /** What axe finds wrong, in short. */
  async violations(): Promise<string[]> {
    const results = await this.page.evaluate(() => {
      const { axe } = globalThis as unknown as { axe: { run(options: RunOptions): Promise<AxeResults> } };
      const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
      return axe.run({ runOnly: tags, resultTypes: ['violations'] });
    });
    return results.violations.flatMap(({ id, nodes }) =>
      nodes.map((node) => `${id}: ${node.html} ${node.failureSummary ?? ''}`),
    );
  }

  /** By how many pixels the page is wider than the screen. */
  overflow(): Promise<number> {
    return this.page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
  }

  clipboard(): Promise<string> {
    return this.page.evaluate(() => navigator.clipboard.readText());
  }
}

/** One open window with its mock. */
export class Window extends Pane {
  /** What the application was asked to do outside the page. */
  readonly outside: string[] = [];

  private constructor(
    page: Page,
    readonly mock: Mock,
    readonly server: MockServer,
    origin: string,
  ) {
    super(page, origin);
  }

  static async open(browser: Browser, options: Options = {}): Promise<Window> {
    const { scenario = 'ready', way = 'http', view = '/home', token = true } = options;
    const mock = new Mock(scenario);
    options.prepare?.(mock);
    const server = new MockServer(mock, DIST);
    const origin = await server.start();
    const page = await Pane.blank(browser, origin, options.context);
    const window = new Window(page, mock, server, origin);
    if (way === 'app') await fakeTauri(page, mock, window.outside);
    const hash = way === 'http' && token ? `#token=${TOKEN}&to=${view}` : `#${view}`;
    await page.goto(`${origin}/ui/${hash}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    return window;
  }

  override async close(): Promise<void> {
    try {
      await super.close(SECRET);
    } finally {
      await this.server.stop();
    }
  }
}
