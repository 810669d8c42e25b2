/** Which addresses the node sends from, for source ranges that name it. */
import { expect, it } from 'vitest';
import { loadConfiguration } from '../../../src/config/load.ts';
import { NO_PEERS } from '../../../src/host/peers.ts';
import { DEFAULT_FORWARDING } from '../../../src/model/forwarding.ts';
import type { Node } from '../../../src/model/kubernetes.ts';
import { viewNode } from '../../../src/reconcile/node-view.ts';
import { address, device, host, loopback } from '../host/example.ts';

const { configuration } = loadConfiguration(undefined);
const eth0 = device(2, 'eth0', { addresses: [address('172.30.0.11'), address('172.30.0.12'), address('fd30::b')] });
const bridge = device(3, 'cni0', { kind: 'bridge', addresses: [address('10.244.1.1'), address('fd44::1')] });
const state = host([loopback, eth0, bridge], 'eth0');

const view = (addresses: string[]) => {
  const node: Node = { status: { addresses: addresses.map((text) => ({ type: 'InternalIP', address: text })) } };
  const options = { nodeName: 'node1', configuration, forwarding: DEFAULT_FORWARDING, xdp: 'off' as const };
  return viewNode(state, node, NO_PEERS, [], options).context.nodeAddresses;
};

it('R-63: the node’s own addresses are its primary ones, not those of its bridge', () => {
  expect(view(['172.30.0.12', 'fd30::b'])).toEqual(['172.30.0.12', 'fd30::b']);
});

it('R-63: in a family without a primary address they are those of its devices', () => {
  expect(view(['172.30.0.12'])).toEqual(['172.30.0.12', 'fd30::b']);
  expect(view([])).toEqual(['172.30.0.11', '172.30.0.12', 'fd30::b']);
});
