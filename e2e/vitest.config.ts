import { defineConfig } from 'vitest/config';

/** Whole-product tests: the built command and plugin against real tools. They need root and what tools/install-e2e-tools.sh installs. */
export default defineConfig({
  test: {
    include: ['e2e/*.test.ts'],
    globalSetup: ['e2e/support/shared.ts'],
    setupFiles: ['tools/testing/src/setup.ts'],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
