/** How the data path chooses among the backends of a list. */
import { backendSlot, FRONTEND_CHOICE, type Frontend } from '../../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import type { Algorithm } from '../../model/algorithm.ts';
import { readChoice } from '../../tables/choice.ts';

export interface ExplainedChoice {
  readonly algorithm: Algorithm;
  /** How the choice is made, for people. */
  readonly how: string;
  /** What part of new connections each backend gets, by address and port. */
  readonly shares: ReadonlyMap<string, number>;
}

const HOW: Readonly<Record<Algorithm, string>> = {
  random: 'with the same chance',
  wrandom: 'with a chance by its weight (algorithm wrandom)',
  rr: 'each in turn (algorithm rr)',
  wrr: 'each in turn, those with a greater weight more often (algorithm wrr)',
  mh: 'by a hash of addresses and ports, the same on every node (algorithm mh); a socket has no port yet and chooses by chance',
  'mh-source': "by a hash of the client's address, the same on every node (algorithm mh-source)",
  sh: "by a hash of the client's address (algorithm sh)",
  dh: 'by a hash of the address dialled, so always the same one while the list stays (algorithm dh)',
  fo: 'the one with the greatest weight, while it is ready (algorithm fo)',
};

/** @param inside the client is given the internal list @returns undefined when it is random */
export function explainChoice(maps: Maps, row: Frontend, inside: boolean): ExplainedChoice | undefined {
  if ((row.flags & FRONTEND_CHOICE) === 0) return undefined;
  const base = inside ? row.internalBase : row.externalBase;
  const count = inside ? row.internalCount : row.externalCount;
  const { view, stride } = maps.backendSlots;
  const found = readChoice(view, base, count);
  if (found === undefined) return undefined;
  const shares = new Map<string, number>();
  found.shares.forEach((share, i) => {
    const { address, port } = backendSlot.read(view, (base + i) * stride);
    shares.set(`${address} ${port}`, share);
  });
  return { algorithm: found.algorithm, how: HOW[found.algorithm], shares };
}
