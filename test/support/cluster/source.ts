/** Which source address a backend must …R-40 as a function, with the lab's addresses. */
import type { IpFamily } from '../lab/addressing.ts';
import type { Cni } from '../lab/cni.ts';
import type { Host } from '../lab/host.ts';
import { LabNode, Pod } from '../lab/node.ts';

export interface Dial {
  readonly client: Host;
  /** The node that a packet to the frontend enters by, when it is not translated on the client's own. */
  readonly entry: LabNode;
  readonly frontend: 'ClusterIP' | 'NodePort' | 'ExternalIP' | 'LoadBalancer';
  /** The frontend is served where the client is: not so for another node's NodePort. */
  readonly servedAtHome: boolean;
  readonly externalLocal: boolean;
  readonly masqueradeAll?: boolean;
  readonly socketLb: 'all' | 'host-only';
  readonly cni: Cni;
  readonly family: IpFamily;
}

const address = (host: Host, family: IpFamily): string => (family === 'IPv4' ? host.ipv4 : host.ipv6);

/** The node's own address towards a pod: that of the bridge, where there is one, or of eth0. */
function towards(node: LabNode, backend: Pod, { cni, family }: Dial): string {
  if (backend.node !== node || cni === 'routed') return address(node, family);
  return family === 'IPv4' ? `10.244.${node.n}.1` : `fd44:0:0:${node.n}::1`;
}

/** Does the frontend ask for source NAT, for a packet from a pod or from elsewhere? */
function isTranslated({ frontend, externalLocal, masqueradeAll }: Dial, fromPod: boolean): boolean {
  if (frontend === 'ClusterIP') return !fromPod || masqueradeAll === true;
  return !externalLocal;
}

/** The source address that `backend` sees. */
export function expectedSource(dial: Dial, backend: Pod): string {
  const { client, entry, family } = dial;
  const own = address(client, family);
  if (dial.servedAtHome && client instanceof LabNode) return towards(client, backend, dial);
  if (client instanceof Pod && dial.servedAtHome) {
    const bySocket = dial.socketLb === 'all';
    const translated = !bySocket && (client === backend || isTranslated(dial, true));
    return translated ? towards(client.node, backend, dial) : own;
  }
  // It enters a node by its device: the answer must come by there again.
  const translated = backend.node !== entry || isTranslated(dial, client instanceof Pod);
  return translated ? towards(entry, backend, dial) : own;
}
