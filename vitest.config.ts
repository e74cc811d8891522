import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Tests run against the sources, so that none of them can pass on a stale build. */
export default defineConfig({
  resolve: {
    alias: {
      '@cluster-image/oci': source('packages/oci/src/index.ts'),
      '@cluster-image/storage': source('packages/storage/src/index.ts'),
      '@cluster-image/distribution': source('packages/distribution/src/index.ts'),
      '@cluster-image/nx': source('packages/nx/src/index.ts'),
      '@cluster-image/testing': source('tools/testing/src/index.ts'),
      'cluster-image': source('packages/cluster-image/src/index.ts'),
    },
  },
  test: {
    include: ['packages/*/test/**/*.test.ts', 'tools/test/**/*.test.ts'],
    globalSetup: ['tools/testing/src/programs.ts'],
    setupFiles: ['tools/testing/src/setup.ts'],
    restoreMocks: true,
    // What bounds a test that hangs, not what measures one: busy machines are slow by the second.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
