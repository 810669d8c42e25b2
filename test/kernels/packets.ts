/** The packet tests of test/packet, each file a check: the same packets, the same results, on this kernel. */
import { type File, startTests, type Task, type VitestRunner, type VitestRunnerConfig } from '@vitest/runner';
import { type Check, PATIENCE_MS } from './check.ts';

/** Names of files in test/packet, written in by tools/kernels/bundle-guest.ts. */
declare const PACKET_TESTS: readonly string[];

const config: VitestRunnerConfig = {
  root: '/',
  setupFiles: [],
  name: undefined,
  passWithNoTests: false,
  testNamePattern: undefined,
  allowOnly: false,
  sequence: { seed: 1, hooks: 'stack', setupFiles: 'list' },
  chaiConfig: undefined,
  maxConcurrency: 1,
  testTimeout: PATIENCE_MS,
  hookTimeout: PATIENCE_MS,
  retry: 0,
  includeTaskLocation: false,
  tags: [],
  tagsFilter: undefined,
  strictTags: false,
};

const runner: VitestRunner = {
  config,
  importFile: (name) => import(`../packet/${name}.test.ts`),
};

const tasksOf = (task: Task): Task[] => ('tasks' in task ? task.tasks.flatMap(tasksOf) : [task]);

function failures(task: Task | File): string[] {
  const own = (task.result?.errors ?? []).map((error) => `${task.fullName}: ${error.message}`);
  return [...own, ...('tasks' in task ? task.tasks.flatMap(failures) : [])];
}

export function packetChecks(): Check[] {
  return PACKET_TESTS.map((name) => ({
    name: `packet tests: ${name}`,
    async run() {
      const files = await startTests([name], runner);
      const wrong = files.flatMap(failures);
      if (wrong.length > 0) throw new Error([`${wrong.length} failed`, ...wrong.slice(0, 5)].join('\n'));
      return `${files.flatMap(tasksOf).length} tests`;
    },
  }));
}
