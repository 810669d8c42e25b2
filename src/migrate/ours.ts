/** Where our tables send a packet: the packet path's rules on rows as they stand in the kernel. */
import type { Address } from '../model/address.ts';
import { isWithin } from './match.ts';
import { type Answer, CLIENTS, type Client, type Frontend, frontendText, type Question, type Rules } from './rules.ts';

/** A row of the map frontends, with what it leads to. */
export interface OurFrontend extends Frontend {
  /** `namespace/name:port` */
  readonly name: string;
  /** `address:port` of backends that clients in the cluster, and outside, may be given. */
  readonly internal: readonly string[];
  readonly external: readonly string[];
  /** An empty list drops; else it refuses. */
  readonly internalDrop: boolean;
  readonly externalDrop: boolean;
  /** Without a backend it is left to routing. */
  readonly router: boolean;
  /** Whose source is translated. */
  readonly masquerade: Readonly<Record<Client, boolean>>;
  readonly affinitySeconds: number;
  /** undefined: every source may use it. */
  readonly sourceRanges?: readonly string[];
  /** Source ranges let the node itself in. */
  readonly nodeAllowed: boolean;
}

/** @param nodePortAddresses of the node. */
export function createOurRules(rows: readonly OurFrontend[], nodePortAddresses: ReadonlySet<Address>): Rules {
  const byText = new Map(rows.map((row) => [frontendText(row), row]));
  const find = (frontend: Frontend): OurFrontend | undefined => {
    const exact = byText.get(frontendText(frontend));
    if (exact !== undefined || !nodePortAddresses.has(frontend.address)) return exact;
    return byText.get(frontendText({ ...frontend, address: frontend.address.includes(':') ? '::' : '0.0.0.0' }));
  };
  return {
    frontends: rows,
    nameOf: (frontend) => find(frontend)?.name,
    clients: CLIENTS,
    untold: [],
    ask: (question) => answer(question, find(question)),
  };
}

function answer({ source }: Question, row: OurFrontend | undefined): Answer {
  const base = { backends: [], masquerade: 'no' as const, affinitySeconds: 0, unknown: [] };
  if (row === undefined) return { ...base, verdict: 'none', networks: [] };
  const networks = row.sourceRanges ?? [];
  const allowed =
    row.sourceRanges === undefined ||
    (source.client === 'node' && row.nodeAllowed) ||
    row.sourceRanges.some((range) => isWithin(source.address, range) === true);
  if (!allowed) return { ...base, verdict: 'drop', networks };
  const internal = source.client !== 'outside';
  const backends = internal ? row.internal : row.external;
  if (backends.length === 0) {
    const drops = internal ? row.internalDrop : row.externalDrop;
    return { ...base, verdict: row.router ? 'none' : drops ? 'drop' : 'refuse', networks };
  }
  return {
    verdict: 'backends',
    backends,
    masquerade: row.masquerade[source.client] ? 'yes' : 'no',
    affinitySeconds: row.affinitySeconds,
    networks,
    unknown: [],
  };
}
