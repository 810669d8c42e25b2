/** The other nodes, as their Node objects tell: where their addresses are from. */
import type { Address } from '../model/address.ts';
import type { PrimaryAddresses } from '../model/forwarding.ts';
import type { Node } from '../model/kubernetes.ts';
import { primaryAddresses, statusAddresses } from './node.ts';

/** `bindAddress` is this node's alone. */
const ANY = { bindAddress: '0.0.0.0' } as const;

export interface PeerState {
  /** By the name in lower case; another map each time that one changes. */
  readonly primary: ReadonlyMap<string, PrimaryAddresses>;
  /** All InternalIPs and ExternalIPs, sorted. */
  readonly addresses: readonly Address[];
}

export const NO_PEERS: PeerState = { primary: new Map(), addresses: [] };

export interface Peers {
  /** @param name of the Node @param node undefined: it is gone. @returns whether an address changed. */
  set(name: string, node: Node | undefined): boolean;
  /** The same value until something changes. */
  readonly state: PeerState;
}

/** @param self name of this node, which is no peer of its own. */
export function createPeers(self: string): Peers {
  const known = new Map<string, { readonly primary: PrimaryAddresses; readonly all: readonly Address[] }>();
  let state: PeerState | undefined = NO_PEERS;

  return {
    set(name, node) {
      const key = name.toLowerCase();
      if (key === self.toLowerCase()) return false;
      const all = statusAddresses(node);
      const before = known.get(key);
      if ((before?.all ?? []).join() === all.join()) return false;
      if (all.length === 0) known.delete(key);
      else known.set(key, { primary: primaryAddresses(node, ANY), all });
      state = undefined;
      return true;
    },

    get state() {
      state ??= {
        primary: new Map([...known].map(([name, { primary }]) => [name, primary])),
        addresses: [...new Set([...known.values()].flatMap(({ all }) => all))].sort(),
      };
      return state;
    },
  };
}
