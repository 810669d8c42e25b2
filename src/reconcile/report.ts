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

/** @param tell called with each problem that is new. */
export function createReporter(tell: (problem: Problem) => void): Reporter {
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
        if (!after.has(text) && !before?.has(text)) tell(problem);
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
