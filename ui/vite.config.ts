import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// Paths are relative, as the page is served at `/ui/` by the proxy and at the root by the application.
export default defineConfig({
  base: './',
  plugins: [svelte()],
  build: {
    target: ['chrome111', 'safari16.4', 'firefox115'],
    // The content security policy allows no `data:` but images, and small files are served just as fast.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  test: {
    projects: [
      { extends: true, test: { name: 'unit', include: ['src/**/*.test.ts'], environment: 'node' } },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['tests/e2e/**/*.test.ts'],
          environment: 'node',
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
