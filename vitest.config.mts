import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    environment: 'jsdom',
    include: ['labextension/test/**/*.spec.ts'],
    setupFiles: ['labextension/test/setup.ts'],
    // So long that only a defect lets it be over, on a machine that is busy, too.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 120_000
  }
});
