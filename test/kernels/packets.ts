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

/** How many tests were skipped for each reason, a line each. */
function skips(tasks: readonly Task[]): string[] {
  const counts = new Map<string, number>();
  for (const { mode, result } of tasks) {
    if (mode !== 'skip') continue;
    const { note: reason = 'no reason given' } = (result ?? {}) as { note?: string };
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return [...counts].map(([reason, count]) => `${count} skipped: ${reason}`);
}

/** `PACKETS=translate,snat` chooses files. */
const chosen = process.env.PACKETS?.split(',') ?? PACKET_TESTS;

export function packetChecks(): Check[] {
  return PACKET_TESTS.filter((name) => chosen.includes(name)).map((name) => ({
    name: `packet tests: ${name}`,
    async run() {
      const files = await startTests([name], runner);
      const wrong = files.flatMap(failures);
      if (wrong.length > 0) throw new Error([`${wrong.length} failed`, ...wrong.slice(0, 5)].join('\n'));
      const tasks = files.flatMap(tasksOf);
      const passed = tasks.filter(({ result }) => result?.state === 'pass').length;
      const skipped = skips(tasks);
      if (passed === 0 && skipped.length === 0) throw new Error('no test ran');
      return [`${passed} tests`, ...skipped].join('\n');
    },
  }));
}
