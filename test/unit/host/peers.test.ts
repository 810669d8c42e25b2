import { describe, expect, test } from 'vitest';
import { createPeers } from '../../../src/host/peers.ts';
import type { Node } from '../../../src/model/kubernetes.ts';

const node = (...addresses: [type: string, address: string][]): Node => ({
  status: { addresses: addresses.map(([type, address]) => ({ type, address })) },
});

describe('the other nodes', () => {
  test('are known by their first InternalIP of each family, and by every address they have', () => {
    const peers = createPeers('here');
    peers.set('There', node(['Hostname', 'there'], ['InternalIP', '192.0.2.2'], ['InternalIP', '192.0.2.3']));
    peers.set('far', node(['ExternalIP', '198.51.100.7'], ['InternalIP', '2001:db8::2']));
    expect(peers.state.primary.get('there')).toEqual({ IPv4: '192.0.2.2' });
    expect(peers.state.primary.get('far')).toEqual({ IPv4: '198.51.100.7', IPv6: '2001:db8::2' });
    expect(peers.state.addresses).toEqual(['192.0.2.2', '192.0.2.3', '198.51.100.7', '2001:db8::2']);
  });

  test('do not hold this node', () => {
    const peers = createPeers('here');
    expect(peers.set('Here', node(['InternalIP', '192.0.2.1']))).toBe(false);
    expect(peers.state.addresses).toEqual([]);
  });

  test('change when an address does, not with every heartbeat', () => {
    const peers = createPeers('here');
    expect(peers.set('there', node(['InternalIP', '192.0.2.2']))).toBe(true);
    const before = peers.state;
    expect(peers.set('there', node(['InternalIP', '192.0.2.2']))).toBe(false);
    expect(peers.state).toBe(before);
    expect(peers.set('there', node(['InternalIP', '192.0.2.9']))).toBe(true);
    expect(peers.state.primary).not.toBe(before.primary);
    expect(peers.set('there', undefined)).toBe(true);
    expect(peers.set('there', undefined)).toBe(false);
    expect(peers.state.addresses).toEqual([]);
  });
});
