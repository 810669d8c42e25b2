/** Tells each problem once: when it appears, and again only after it was gone. */
import type { Problem } from '../model/compiled.ts';

export interface Reporter {
  /** The problems of one owner (`namespace/name`) as they are now; none: all are solved. */
  set(owner: string, problems: readonly Problem[]): void;
  /** Problems at the moment. */
  readonly count: number;
}

export function problemText(problem: Problem): string {
  const name = problem.namespace === '' ? problem.name : `${problem.namespace}/${problem.name}`;
  return `${problem.kind} ${name}: ${problem.field}: ${problem.message}`;
}

/** @param tell called with each problem that is new. */
export function createReporter(tell: (problem: Problem) => void): Reporter {
  const known = new Map<string, Set<string>>();
  let count = 0;
  return {
    set(owner, problems) {
      const before = known.get(owner);
      if (problems.length === 0) {
        count -= before?.size ?? 0;
        known.delete(owner);
        return;
      }
      const after = new Set<string>();
      for (const problem of problems) {
        const text = problemText(problem);
        if (!after.has(text) && !before?.has(text)) tell(problem);
        after.add(text);
      }
      count += after.size - (before?.size ?? 0);
      known.set(owner, after);
    },
    get count() {
      return count;
    },
  };
}
