/** How a backend is chosen for a new connection: the names that ipvsadm has, and the nearest where a node can do no more. */

/** What is carried out. The order is that of `choice.algorithm` in the maps: new ones go last. */
export const ALGORITHMS = ['random', 'wrandom', 'rr', 'wrr', 'mh', 'mh-source', 'sh', 'dh', 'fo'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export const DEFAULT_ALGORITHM: Algorithm = 'random';

/** Schedulers of IPVS that stand on counts of connections: what is used in their place, which needs none. */
export const NEAREST = {
  lc: 'rr',
  wlc: 'wrr',
  sed: 'wrr',
  nq: 'wrr',
  lblc: 'dh',
  lblcr: 'dh',
  ovf: 'fo',
} as const satisfies Readonly<Record<string, Algorithm>>;
export type NearestName = keyof typeof NEAREST;

/** Every name that may be written. */
export const ALGORITHM_NAMES: readonly string[] = [...ALGORITHMS, ...Object.keys(NEAREST)];

/** Greatest weight, as IPVS has it. 0: no new connections. */
export const MAX_WEIGHT = 65_535;

const isNearest = (name: string): name is NearestName => Object.hasOwn(NEAREST, name);

/** @returns what is carried out for a name; undefined: the name is not known. `instead`: it is not what the name says. */
export function algorithmOf(name: string): { readonly algorithm: Algorithm; readonly instead: boolean } | undefined {
  if (isNearest(name)) return { algorithm: NEAREST[name], instead: true };
  const algorithm = ALGORITHMS.find((known) => known === name);
  return algorithm && { algorithm, instead: false };
}

/** Those for which the weights of backends count; with every other one only a weight of 0 does. */
const WEIGHTED: ReadonlySet<Algorithm> = new Set(['wrandom', 'wrr', 'mh', 'mh-source', 'sh', 'fo']);

export function usesWeights(algorithm: Algorithm): boolean {
  return WEIGHTED.has(algorithm);
}
