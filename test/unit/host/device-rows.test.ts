import { describe, expect, test } from 'vitest';
import {
  DEVICE_LOCAL_PODS,
  DEVICE_NO_ETHERNET,
  DEVICE_NODE,
  DEVICE_OTHER_MACS,
  DEVICE_OVERLAY,
  DEVICE_POD,
} from '../../../maps-schema/gen/codecs.ts';
import { loadConfiguration } from '../../../src/config/load.ts';
import { deviceRows, masqueradeSource } from '../../../src/host/device-rows.ts';
import type { Configuration } from '../../../src/model/configuration.ts';
import { address, device, host, podVeth } from './example.ts';

const { configuration } = loadConfiguration(undefined);
const eth0 = device(2, 'eth0', { addresses: [address('192.0.2.10'), address('2001:db8::10')] });
const eth1 = device(3, 'eth1', { mtu: 9000, addresses: [address('198.51.100.1')] });
const cni0 = device(4, 'cni0', { kind: 'bridge', addresses: [address('10.244.1.1')] });
const port = podVeth(5, 'vetha', { master: 'cni0' });
const wg0 = device(6, 'wg0', { kind: 'wireguard', hasEthernet: false, mtu: 1420, mac: '' });
const state = host([eth0, eth1, cni0, port, wg0]);
const node = { status: { addresses: [{ type: 'InternalIP', address: '198.51.100.1' }] } };

const rows = (settings: Partial<Configuration> = {}, object: typeof node | undefined = node) =>
  deviceRows(state, [eth0, wg0], [port], object, { ...configuration, ...settings });
const row = (ifindex: number, settings?: Partial<Configuration>) =>
  rows(settings).find((found) => found.ifindex === ifindex);

describe('deviceRows', () => {
  test('one row for each device but lo, with what it is', () => {
    expect(rows().map(({ ifindex, flags, mtu }) => [ifindex, flags, mtu])).toEqual([
      [2, DEVICE_NODE, 1500],
      [3, 0, 9000],
      // A bridge leads to pods when a port of it is theirs.
      [4, DEVICE_POD, 1500],
      [5, DEVICE_POD, 1500],
      [6, DEVICE_NODE | DEVICE_NO_ETHERNET | DEVICE_OVERLAY, 1420],
    ]);
  });

  test('what a device belongs to, by its index (R-106)', () => {
    expect([row(5)?.master, row(2)?.master]).toEqual([4, 0]);
  });

  test('its MAC address, and whether a device of this node on it has another one', () => {
    expect([row(2)?.mac, row(6)?.mac]).toEqual([eth0.mac, '00:00:00:00:00:00']);
    const vlan = device(8, 'eth0.5', { kind: 'vlan', parent: 'eth0', mac: eth0.mac });
    const vrrp = device(9, 'vrrp.7', { kind: 'macvlan', parent: 'eth0', mac: '00:00:5e:00:01:07' });
    const flagsOf = (...children: (typeof eth0)[]) =>
      deviceRows(host([eth0, ...children]), [eth0], [], node, configuration)[0]?.flags;
    expect(flagsOf(vlan)).toBe(DEVICE_NODE);
    expect(flagsOf(vlan, { ...vrrp, up: false })).toBe(DEVICE_NODE);
    expect(flagsOf(vlan, vrrp)).toBe(DEVICE_NODE | DEVICE_OTHER_MACS);
  });

  test("R-45: the device's own address; a device without one borrows the node's, else the first", () => {
    expect(row(2)).toMatchObject({ masquerade4: '192.0.2.10', masquerade6: '2001:db8::10' });
    expect(row(4)).toMatchObject({ masquerade4: '10.244.1.1', masquerade6: '2001:db8::10' });
    expect(row(5)).toMatchObject({ masquerade4: '198.51.100.1', masquerade6: '2001:db8::10' });
    const foreign = { status: { addresses: [{ type: 'InternalIP', address: '203.0.113.9' }] } };
    expect(rows({}, foreign).find(({ ifindex }) => ifindex === 5)?.masquerade4).toBe('192.0.2.10');
    expect(deviceRows(host([port]), [], [], node, configuration)[0]).toMatchObject({
      masquerade4: '::',
      masquerade6: '::',
    });
  });

  test('R-45: the first primary address of global scope, as inet_select_addr takes it', () => {
    const many = device(7, 'eth7', {
      addresses: [
        address('169.254.1.1', { scope: 'link' }),
        address('192.0.2.9', { secondary: true }),
        address('192.0.2.8'),
        address('192.0.2.7'),
      ],
    });
    expect(masqueradeSource(many, 'IPv4')).toBe('192.0.2.8');
    expect(masqueradeSource(many, 'IPv6')).toBeUndefined();
  });

  test('R-45: for IPv6 neither an unusable nor a link-local address, deprecated and temporary ones last', () => {
    const all = [
      address('fe80::1', { scope: 'link' }),
      address('2001:db8::1', { unusable: true }),
      address('2001:db8::2', { deprecated: true }),
      address('2001:db8::3', { temporary: true }),
      address('2001:db8::4'),
      address('2001:db8::5'),
    ];
    const source = (addresses: typeof all) => masqueradeSource(device(7, 'eth7', { addresses }), 'IPv6');
    expect(source(all)).toBe('2001:db8::4');
    expect(source(all.slice(0, 4))).toBe('2001:db8::3');
    expect(source(all.slice(0, 3))).toBe('2001:db8::2');
    expect(source(all.slice(0, 2))).toBeUndefined();
  });

  test('R-36: BridgeInterface marks the bridge and its ports', () => {
    const local = rows({ detectLocalMode: 'BridgeInterface', bridgeInterface: 'cni0' }).filter(
      ({ flags }) => flags & DEVICE_LOCAL_PODS,
    );
    expect(local.map(({ ifindex }) => ifindex)).toEqual([4, 5]);
  });

  test('R-36: InterfaceNamePrefix marks devices, and ports of a bridge, whose name begins so', () => {
    const local = (prefix: string) =>
      rows({ detectLocalMode: 'InterfaceNamePrefix', interfaceNamePrefix: prefix })
        .filter(({ flags }) => flags & DEVICE_LOCAL_PODS)
        .map(({ ifindex }) => ifindex);
    expect(local('veth')).toEqual([5]);
    expect(local('cni')).toEqual([4, 5]);
    expect(local('eth')).toEqual([2, 3]);
  });

  test('R-36: by networks no device is marked', () => {
    expect(
      rows({ detectLocalMode: 'ClusterCIDR', bridgeInterface: 'cni0', interfaceNamePrefix: 'veth' }).filter(
        ({ flags }) => flags & DEVICE_LOCAL_PODS,
      ),
    ).toEqual([]);
  });
});
