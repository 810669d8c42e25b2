/** Tells each problem once: when it appears, and again only after it was gone. */
import type { Problem } from '../model/compiled.ts';

export interface Reporter {
  /** The problems of one owner (`namespace/name`) as they are now; none: all are solved. */
  set(owner: string, problems: readonly Problem[]): void;
  /** Problems at the moment. */
  readonly count: number;
  /** Those problems, by owner. */
  list(): Problem[];
  /** Grows with each change of them. */
  readonly changes: number;
}

export function problemText(problem: Problem): string {
  const name = problem.namespace === '' ? problem.name : `${problem.namespace}/${problem.name}`;
  return `${problem.kind} ${name}: ${problem.field}: ${problem.message}`;
}

export interface ReporterOptions {
  /** Called with each problem that is new, as far as the rates allow. */
  readonly tell: (problem: Problem) => void;
  /** Called once when a rate is reached: what it holds back is listed all the same. @param owner undefined: that of all */
  readonly quiet: (owner: string | undefined) => void;
  /** Milliseconds that only grow. */
  readonly now?: () => number;
}

/** Lines in a minute, of one owner and of all: an object that changes without end, or a thousand of them, fill no disk. */
const LINES_OF_ONE = 12;
const LINES_OF_ALL = 600;
const WINDOW_MS = 60_000;
/** Windows above this number are looked through for old ones. */
const KEEP_WINDOWS = 1024;

interface Window {
  readonly since: number;
  lines: number;
}

/** @returns whether another line is allowed, by owner and in all. */
function createRate({ quiet, now = () => performance.now() }: ReporterOptions): (owner: string) => boolean {
  const windows = new Map<string, Window>();
  let all: Window = { since: now(), lines: 0 };

  function windowOf(owner: string, time: number): Window {
    const known = windows.get(owner);
    if (known !== undefined && time - known.since < WINDOW_MS) return known;
    if (windows.size >= KEEP_WINDOWS)
      for (const [name, { since }] of windows) if (time - since >= WINDOW_MS) windows.delete(name);
    const fresh = { since: time, lines: 0 };
    windows.set(owner, fresh);
    return fresh;
  }

  return (owner) => {
    const time = now();
    if (time - all.since >= WINDOW_MS) all = { since: time, lines: 0 };
    if (all.lines >= LINES_OF_ALL) return false;
    const own = windowOf(owner, time);
    if (own.lines > LINES_OF_ONE) return false;
    own.lines++;
    all.lines++;
    if (own.lines > LINES_OF_ONE) quiet(owner);
    else if (all.lines >= LINES_OF_ALL) quiet(undefined);
    return own.lines <= LINES_OF_ONE;
  };
}

export function createReporter(options: ReporterOptions): Reporter {
  const { tell } = options;
  const allowed = createRate(options);
  const known = new Map<string, Map<string, Problem>>();
  let count = 0;
  let changes = 0;
  return {
    set(owner, problems) {
      const before = known.get(owner);
      if (problems.length === 0) {
        count -= before?.size ?? 0;
        if (known.delete(owner)) changes++;
        return;
      }
      const after = new Map<string, Problem>();
      for (const problem of problems) {
        const text = problemText(problem);
        if (!after.has(text) && !before?.has(text) && allowed(owner)) tell(problem);
        after.set(text, problem);
      }
      count += after.size - (before?.size ?? 0);
      if (after.size !== before?.size || [...after.keys()].some((text) => !before.has(text))) changes++;
      known.set(owner, after);
    },
    get count() {
      return count;
    },
    list: () => [...known.values()].flatMap((problems) => [...problems.values()]),
    get changes() {
      return changes;
    },
  };
}
