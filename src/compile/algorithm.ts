/** Which algorithm a Service chooses for itself, and which weights a slice gives its endpoints. */
import { FRONTEND_BY_SOURCE, FRONTEND_CHOICE, FRONTEND_IN_TURN } from '../../maps-schema/gen/codecs.ts';
import { type Address, parseAddress } from '../model/address.ts';
import { ALGORITHM_NAMES, type Algorithm, algorithmOf, DEFAULT_ALGORITHM, MAX_WEIGHT } from '../model/algorithm.ts';
import type { NodeContext } from './context.ts';
import type { ProblemSink } from './problems.ts';
import type { ParsedService } from './service.ts';
import { type Fields, show } from './validate.ts';

export const ALGORITHM_ANNOTATION = 'sluice.io/algorithm';
export const WEIGHT_ANNOTATION = 'sluice.io/weight';
/** Of Cilium; ours comes first. */
export const CILIUM_WEIGHT_ANNOTATION = 'service.cilium.io/weight';

/** @returns the algorithm that a Service chooses for itself; undefined: the node's. */
export function readAlgorithm(annotations: Fields, problems: ProblemSink): Algorithm | undefined {
  if (!Object.hasOwn(annotations, ALGORITHM_ANNOTATION)) return undefined;
  const value = annotations[ALGORITHM_ANNOTATION];
  const field = `metadata.annotations[${ALGORITHM_ANNOTATION}]`;
  const found = typeof value === 'string' ? algorithmOf(value) : undefined;
  if (found === undefined) {
    problems.add(field, `is ${show(value)}, not ${ALGORITHM_NAMES.join(', ')}: the algorithm of the node is used`);
  } else if (found.instead) {
    problems.add(field, `is ${show(value)}, which is not done here: ${found.algorithm} is used, the nearest to it`);
  }
  return found?.algorithm;
}

/** The algorithm that holds for a Service. */
export function algorithmOfService(service: ParsedService, context: NodeContext): Algorithm {
  return service.algorithm ?? context.algorithm ?? DEFAULT_ALGORITHM;
}

/** @returns FRONTEND_* flags: what the data path must know before it looks at a list. */
export function choiceFlags(algorithm: Algorithm): number {
  switch (algorithm) {
    case 'random':
      return 0;
    case 'rr':
    case 'wrr':
      return FRONTEND_CHOICE | FRONTEND_IN_TURN;
    case 'mh-source':
    case 'sh':
      return FRONTEND_CHOICE | FRONTEND_BY_SOURCE;
    default:
      return FRONTEND_CHOICE;
  }
}

/** Weights that a slice gives: one for all, others by address. */
export interface Weights {
  readonly all: number;
  readonly byAddress: ReadonlyMap<Address, number>;
}

const EQUAL: Weights = { all: 1, byAddress: new Map() };
/** As many endpoints as a slice may have, and a weight for all. */
const MAX_PARTS = 10_001;

function weightOf(text: string): number | undefined {
  const weight = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  return weight <= MAX_WEIGHT ? weight : undefined;
}

/**
 * Reads `3`, `10.1.1.5=3,10.1.1.6=0` or `2,10.1.1.5=3`. What is wrong is named, and counts 1.
 * @returns weight 1 for all without an annotation
 */
export function readWeights(annotations: Fields, problems: ProblemSink): Weights {
  const name = [WEIGHT_ANNOTATION, CILIUM_WEIGHT_ANNOTATION].find((key) => Object.hasOwn(annotations, key));
  if (name === undefined) return EQUAL;
  const value = annotations[name];
  const field = `metadata.annotations[${name}]`;
  if (typeof value !== 'string') {
    problems.add(field, `is ${show(value)}, not text: every weight is 1`);
    return EQUAL;
  }
  let all = 1;
  const byAddress = new Map<Address, number>();
  const parts = value.split(',', MAX_PARTS);
  for (const part of parts) {
    const [left, right, more] = part.split('=', 3).map((text) => text.trim());
    const weight = weightOf(right ?? left ?? '');
    const address = right === undefined ? undefined : parseAddress(left ?? '');
    if (weight === undefined || more !== undefined || (right !== undefined && address === undefined)) {
      problems.add(field, `${show(part.trim())} is neither a weight of 0…${MAX_WEIGHT} nor address=weight: ignored`);
    } else if (address === undefined) all = weight;
    else byAddress.set(address, weight);
  }
  return { all, byAddress };
}
