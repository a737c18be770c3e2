import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    environment: 'jsdom',
    include: ['labextension/test/**/*.spec.ts'],
    setupFiles: ['labextension/test/setup.ts']
  }
});
