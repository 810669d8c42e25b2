import { defineConfig } from 'vitest/config';

/**
 * Tests that use the kernel share one machine, each in namespaces of its own: two files at a time, as there are
 * processors. The projects run one after the other, in the order of their `groupOrder`.
 */
const kernel = { pool: 'forks' as const, maxWorkers: 2, testTimeout: 60_000, hookTimeout: 120_000 };

export default defineConfig({
  test: {
    reporters: ['default'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'test/golden/golden.test.ts', 'test/conformance/**/*.test.ts'],
          testTimeout: 20_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'kernel',
          include: [
            'test/golden/map-contents.test.ts',
            'test/kernel/**/*.test.ts',
            'test/packet/**/*.test.ts',
            'test/cluster/**/*.test.ts',
            'test/differential/**/*.test.ts',
            'test/chaos/**/*.test.ts',
          ],
          ...kernel,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: { name: 'deploy', include: ['test/deploy/**/*.test.ts'], ...kernel, sequence: { groupOrder: 2 } },
      },
      {
        test: {
          name: 'docs',
          include: ['test/docs/**/*.test.ts'],
          ...kernel,
          testTimeout: 180_000,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
