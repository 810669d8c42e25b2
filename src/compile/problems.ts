/** Collects what is wrong with one object: the first few faults in words, the rest as a number. */
import type { Problem } from '../model/compiled.ts';

const FAULTS_IN_WORDS = 5;
const NONE: readonly Problem[] = [];

export interface ProblemSink {
  /** @param field path inside the object, e.g. `spec.ports[2].nodePort` */
  add(field: string, message: string): void;
  /** At most six problems, however many faults there were. */
  list(): readonly Problem[];
}

export function createProblems(kind: Problem['kind'], namespace: string, name: string): ProblemSink {
  let problems: Problem[] | undefined;
  let more = 0;
  return {
    add(field, message) {
      problems ??= [];
      if (problems.length < FAULTS_IN_WORDS) problems.push({ kind, namespace, name, field, message });
      else more++;
    },
    list() {
      if (problems === undefined) return NONE;
      if (more === 0) return problems;
      return [...problems, { kind, namespace, name, field: '', message: `and ${more} more faults` }];
    },
  };
}
