import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

import { Mock } from './tests/mock/mock';
import { MockServer } from './tests/mock/server';
import type { Scenario } from './tests/mock/world';

// Paths are relative, as the page is served at `/ui/` by the proxy and at the root by the application.
export default defineConfig({
  base: './',
  plugins: [svelte(), mockControl()],
  build: {
    target: ['chrome111', 'safari16.4', 'firefox115'],
    // The content security policy allows no `data:` but images, and small files are served just as fast.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'tests/{unit,words}/*.test.ts'],
          environment: 'node',
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['tests/e2e/**/*.test.ts'],
          environment: 'node',
          testTimeout: 60_000,
          hookTimeout: 60_000,
          // A busy machine takes longer than a second.
          expect: { poll: { timeout: 30_000 } },
          maxWorkers: 2,
          // After the units: Vitest does not mix projects with other numbers of workers.
          sequence: { groupOrder: 1 },
        },
      },
      // Against a running proxy, which the suite of `tests/` starts.
      ...(process.env['CODEX_PROXY_WINDOW']
        ? [
            {
              extends: true as const,
              test: {
                name: 'live',
                include: ['tests/live/**/*.test.ts'],
                environment: 'node' as const,
                testTimeout: 120_000,
                hookTimeout: 60_000,
                expect: { poll: { timeout: 30_000 } },
              },
            },
          ]
        : []),
    ],
  },
});

/** The control API for `npm run dev`, in the state that the page's `?scenario=` names. */
function mockControl(): Plugin {
  return {
    name: 'mock-control',
    apply: 'serve',
    configureServer(server) {
      let mock = new MockServer(new Mock(), 'dist');
      server.middlewares.use((request, response, next) => {
        const url = new URL(request.url ?? '/', 'http://localhost');
        const scenario = url.searchParams.get('scenario');
        if (scenario) mock = new MockServer(new Mock(scenario as Scenario), 'dist');
        if (url.pathname.startsWith('/control/')) mock.serve(request, response).catch(next);
        else next();
      });
    },
  };
}
