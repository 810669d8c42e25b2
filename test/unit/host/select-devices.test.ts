import { describe, expect, test } from 'vitest';
import { missingDevices, selectNodeDevices, selectPodDevices } from '../../../src/host/select-devices.ts';
import type { HostDevice } from '../../../src/host/state.ts';
import type { Node } from '../../../src/model/kubernetes.ts';
import { address, device, host, podVeth, recordedHost } from './example.ts';

const names = (devices: readonly HostDevice[]) => devices.map(({ name }) => name);
const node = (...addresses: string[]): Node => ({
  status: {
    addresses: [
      { type: 'Hostname', address: 'node-1' },
      ...addresses.map((text) => ({ type: 'InternalIP', address: text })),
    ],
  },
});

describe('selectNodeDevices', () => {
  test('a veth in a namespace that carries the address and the default route, and the overlay', () => {
    expect(names(selectNodeDevices(recordedHost(), node('192.0.2.10')))).toEqual(['eth0', 'flannel.1']);
    expect(names(selectNodeDevices(recordedHost(), undefined))).toEqual(['eth0', 'flannel.1']);
  });

  test('by an address of the Node object alone, internal or external, IPv6 in any spelling', () => {
    const state = host([
      device(2, 'eth0', { addresses: [address('192.0.2.10')] }),
      device(3, 'eth1', { addresses: [address('2001:db8::10')] }),
      device(4, 'eth2', { addresses: [address('203.0.113.5')] }),
      device(5, 'eth3', { addresses: [address('198.51.100.1')] }),
    ]);
    const withExternal: Node = {
      status: {
        addresses: [
          ...(node('192.0.2.10', '2001:0db8:0::0010').status?.addresses ?? []),
          { type: 'ExternalIP', address: '203.0.113.5' },
        ],
      },
    };
    expect(names(selectNodeDevices(state, withExternal))).toEqual(['eth0', 'eth1', 'eth2']);
  });

  test("a bridge only when it carries the node's address or the default route", () => {
    const bridges = [
      device(2, 'br-ex', { kind: 'bridge', addresses: [address('192.0.2.10')] }),
      device(3, 'cni0', { kind: 'bridge', addresses: [address('10.244.1.1')] }),
    ];
    expect(names(selectNodeDevices(host(bridges), node('192.0.2.10')))).toEqual(['br-ex']);
    expect(names(selectNodeDevices(host(bridges, 'cni0'), undefined))).toEqual(['cni0']);
  });

  test('never lo, never a dummy, no tunnel without an address of global scope', () => {
    const state = host([
      device(2, 'kube-ipvs0', { kind: 'dummy', addresses: [address('192.0.2.10')] }),
      device(3, 'cilium_vxlan', { kind: 'vxlan', addresses: [address('fe80::1', { scope: 'link' })] }),
      device(4, 'wg0', { kind: 'wireguard', hasEthernet: false, addresses: [address('10.244.1.0')] }),
    ]);
    expect(names(selectNodeDevices(state, node('192.0.2.10', '127.0.0.1')))).toEqual(['wg0']);
    expect(names(selectNodeDevices(state, undefined, ['lo', 'cilium_vxlan']))).toEqual(['cilium_vxlan']);
  });

  test('with --devices exactly those', () => {
    expect(names(selectNodeDevices(recordedHost(), node('192.0.2.10'), ['cni0', 'gone']))).toEqual(['cni0']);
    expect(missingDevices(recordedHost(), ['cni0', 'gone', 'lo'])).toEqual(['gone', 'lo']);
  });

  test('a Node object of any shape is no error', () => {
    for (const status of [null, { addresses: 'x' }, { addresses: [null, {}, { type: 'InternalIP', address: 7 }] }]) {
      expect(names(selectNodeDevices(host([device(2, 'eth0')]), { status } as unknown as Node))).toEqual([]);
    }
  });
});

describe('selectPodDevices', () => {
  test('veths whose other end is elsewhere, but for node devices', () => {
    const state = recordedHost();
    expect(names(selectPodDevices(state, selectNodeDevices(state, undefined)))).toEqual(['veth1a2b3c']);
  });

  test('ipvlan, macvlan and pairs within the namespace are none', () => {
    const state = host([
      podVeth(2, 'cali1'),
      device(3, 'ipvl0', { kind: 'ipvlan' }),
      device(4, 'cilium_host', { kind: 'veth', peerIfindex: 5 }),
    ]);
    expect(names(selectPodDevices(state, []))).toEqual(['cali1']);
  });

  test('with a pattern exactly those that match, dots taken as dots', () => {
    const state = host([
      podVeth(2, 'cali12'),
      podVeth(3, 'calx'),
      device(4, 'a.1', { kind: 'ipvlan' }),
      device(5, 'ab1'),
      device(6, 'eth0'),
    ]);
    const eth0 = state.devices.filter(({ name }) => name === 'eth0');
    expect(names(selectPodDevices(state, eth0, 'cali*'))).toEqual(['cali12']);
    expect(names(selectPodDevices(state, eth0, 'a.?, cal?'))).toEqual(['calx', 'a.1']);
    expect(names(selectPodDevices(state, eth0, '*'))).toEqual(['cali12', 'calx', 'a.1', 'ab1']);
    expect(names(selectPodDevices(state, eth0, ''))).toEqual([]);
  });
});
