import { describe, expect, test } from 'vitest';
import {
  judgeDevices,
  leftOutDevices,
  missingDevices,
  selectNodeDevices,
  selectPodDevices,
} from '../../../src/host/select-devices.ts';
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

  test('by an address of the Node object, also of one host, internal or external, IPv6 in any spelling', () => {
    const state = host([
      device(2, 'eth0', { addresses: [address('192.0.2.10')] }),
      podVeth(3, 'eth1', { addresses: [address('2001:db8::10', { prefix: 128 })] }),
      podVeth(4, 'eth2', { addresses: [address('203.0.113.5', { prefix: 32 })] }),
      podVeth(5, 'eth3', { addresses: [address('198.51.100.1', { prefix: 32 })] }),
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

  test('second cards, VLANs, bonds and members of a VRF, when they carry an address of global scope', () => {
    const state = host(
      [
        device(2, 'eth0', { addresses: [address('192.0.2.10')] }),
        device(3, 'eth1', { addresses: [address('198.51.100.1')] }),
        device(4, 'eth2', { addresses: [address('fe80::1', { scope: 'link' })] }),
        device(5, 'eth2.7', { kind: 'vlan', parent: 'eth2', addresses: [address('2001:db8::7')] }),
        device(6, 'bond0', { kind: 'bond', addresses: [address('198.51.101.1')] }),
        device(7, 'eth3', { master: 'bond0', addresses: [address('198.51.102.1')] }),
        device(8, 'blue', { kind: 'vrf', hasEthernet: true, addresses: [address('198.51.103.1')] }),
        device(9, 'eth4', { master: 'blue', addresses: [address('198.51.103.2')] }),
        podVeth(10, 'eth5', { addresses: [address('198.51.104.1')] }),
      ],
      'eth0',
    );
    expect(names(selectNodeDevices(state, undefined))).toEqual(['eth0', 'eth1', 'eth2.7', 'bond0', 'eth4', 'eth5']);
    expect(judgeDevices(state, undefined).filter(({ leftOut }) => leftOut)).toMatchObject([
      { device: { name: 'eth3' }, leftOut: 'it is a port of bond0' },
      { device: { name: 'blue' }, leftOut: 'its packets are met on its members' },
    ]);
  });

  test('a bridge by which virtual machines or another network are reached, not one of containers alone', () => {
    const bridges = (kind: string) => [
      device(2, 'br1', { kind: 'bridge', addresses: [address('192.0.2.10')] }),
      device(3, 'port', { kind, master: 'br1' }),
      podVeth(4, 'veth1', { master: 'br1' }),
    ];
    for (const kind of ['', 'bond', 'vlan', 'tun']) {
      const [state, node] = [host(bridges(kind)), selectNodeDevices(host(bridges(kind)), undefined)];
      expect(names(node)).toEqual(['br1']);
      expect(names(selectPodDevices(state, node, '*'))).toEqual([]);
    }
    for (const kind of ['veth', 'vxlan']) {
      const state = host(bridges(kind));
      expect(names(selectNodeDevices(state, undefined))).toEqual([]);
      expect(names(selectPodDevices(state, []))).toEqual(['veth1']);
    }
  });

  test('what gives a bridge of containers its gateway is no node device: a VLAN, a pair, a port of Open vSwitch', () => {
    const state = host(
      [
        device(2, 'eth0', { addresses: [address('192.0.2.10')] }),
        device(3, 'cni0', { kind: 'bridge' }),
        podVeth(4, 'veth1', { master: 'cni0' }),
        device(5, 'cni0.7', { kind: 'vlan', parent: 'cni0', addresses: [address('10.244.7.1')] }),
        // As the bridge plugin makes it with `vlan` and `isGateway`.
        device(6, 'veth0', { kind: 'veth', master: 'cni0', peerIfindex: 7 }),
        device(7, 'cni0.100', { kind: 'veth', peerIfindex: 6, addresses: [address('10.244.1.1')] }),
        device(8, 'ovs-system', { kind: 'openvswitch' }),
        device(9, 'antrea-gw0', { kind: 'openvswitch', addresses: [address('10.245.1.1')] }),
        podVeth(10, 'veth2', { master: 'ovs-system' }),
      ],
      'eth0',
    );
    const chosen = selectNodeDevices(state, undefined);
    expect(names(chosen)).toEqual(['eth0']);
    expect(names(selectPodDevices(state, chosen))).toEqual(['veth1', 'veth2']);
    expect(names(selectNodeDevices(state, node('10.245.1.1')))).toEqual(['eth0', 'antrea-gw0']);
  });

  test('containers on a bridge whose VLAN carries the address of the node are met there alone', () => {
    const state = host([
      device(2, 'vmbr0', { kind: 'bridge' }),
      device(3, 'eth0', { master: 'vmbr0' }),
      podVeth(4, 'veth100i0', { master: 'vmbr0' }),
      device(5, 'vmbr0.10', { kind: 'vlan', parent: 'vmbr0', addresses: [address('192.0.2.10')] }),
      podVeth(6, 'cali1'),
    ]);
    const chosen = selectNodeDevices(state, node('192.0.2.10'));
    expect(names(chosen)).toEqual(['vmbr0.10']);
    expect(names(selectPodDevices(state, chosen))).toEqual(['cali1']);
  });

  test('of two devices that meet the same packets one, also when both are named', () => {
    const state = host(
      [
        device(2, 'eth0', { addresses: [address('192.0.2.10')] }),
        device(3, 'vrrp.51', { kind: 'macvlan', parent: 'eth0', addresses: [address('192.0.2.100')] }),
        device(4, 'br0', { kind: 'bridge', addresses: [address('198.51.100.1')] }),
        device(5, 'eth1', { master: 'br0' }),
        device(6, 'eth2'),
        device(7, 'own', { kind: 'macvlan', parent: 'eth2', addresses: [address('198.51.101.1')] }),
      ],
      'eth0',
    );
    expect(names(selectNodeDevices(state, undefined))).toEqual(['eth0', 'br0', 'own']);
    const named = ['eth0', 'vrrp.51', 'br0', 'eth1'];
    expect(names(selectNodeDevices(state, undefined, named))).toEqual(['eth0', 'br0']);
    expect(names(selectNodeDevices(state, undefined, ['vrrp.51', 'eth1']))).toEqual(['vrrp.51', 'eth1']);
  });

  test('what is left out is told with its reason, and addresses that were named and do not answer', () => {
    const state = host(
      [
        device(2, 'eth0', { addresses: [address('192.0.2.10')] }),
        device(3, 'wg0', { kind: 'wireguard', hasEthernet: false, addresses: [address('10.8.0.1')] }),
        device(4, 'eth1', { addresses: [address('10.9.0.1')] }),
        podVeth(5, 'cali1', { addresses: [address('10.8.0.2', { prefix: 32 })] }),
        device(6, 'dummy0', { kind: 'dummy', addresses: [address('10.8.0.3')] }),
      ],
      'eth0',
    );
    const told = (devices?: string[]) =>
      leftOutDevices(judgeDevices(state, undefined, devices), selectPodDevices(state, []), (one) =>
        one.startsWith('10.8.'),
      );
    expect(told()).toEqual([
      { device: 'wg0', why: 'its packets have no Ethernet header', unserved: ['10.8.0.1'] },
      { device: 'dummy0', why: 'nothing arrives by a device of this kind', unserved: [] },
    ]);
    expect(told(['eth0']).map(({ device, unserved }) => [device, unserved])).toEqual([
      ['wg0', ['10.8.0.1']],
      ['eth1', []],
      ['dummy0', []],
    ]);
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

  test('netkits too; ipvlan, macvlan and pairs within the namespace are none', () => {
    const state = host([
      podVeth(2, 'cali1'),
      device(3, 'ipvl0', { kind: 'ipvlan' }),
      device(4, 'cilium_host', { kind: 'veth', peerIfindex: 5 }),
      podVeth(5, 'lxc1', { kind: 'netkit' }),
    ]);
    expect(names(selectPodDevices(state, []))).toEqual(['cali1', 'lxc1']);
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
