import { describe, expect, test } from 'vitest';
import { parseHost } from '../../../src/host/parse.ts';
import { recordedHost } from './example.ts';

const noRoutes = { IPv4: '', IPv6: '' };

describe('parseHost', () => {
  test('devices with kind, master and peer', () => {
    const { devices } = recordedHost();
    const named = (name: string) => devices.find((device) => device.name === name);
    expect(devices.map(({ name, kind }) => [name, kind])).toEqual([
      ['lo', ''],
      ['eth0', 'veth'],
      ['cni0', 'bridge'],
      ['veth1a2b3c', 'veth'],
      ['pair1', 'veth'],
      ['pair0', 'veth'],
      ['flannel.1', 'vxlan'],
    ]);
    expect(named('lo')).toMatchObject({ loopback: true, mac: '' });
    expect(named('veth1a2b3c')).toMatchObject({
      master: 'cni0',
      peerNetns: 0,
      peerIfindex: 3,
      up: true,
      hasEthernet: true,
    });
    expect(named('pair0')).toMatchObject({ master: undefined, peerNetns: undefined, up: false });
    expect(named('flannel.1')).toMatchObject({ mtu: 1450, peerIfindex: undefined });
  });

  test('addresses in the order of the kernel, with their flags', () => {
    const eth0 = recordedHost().devices.find(({ name }) => name === 'eth0');
    expect(eth0?.addresses).toEqual([
      {
        address: '192.0.2.10',
        prefix: 24,
        scope: 'global',
        secondary: false,
        deprecated: false,
        unusable: false,
        temporary: false,
      },
      {
        address: '192.0.2.11',
        prefix: 24,
        scope: 'global',
        secondary: true,
        deprecated: false,
        unusable: false,
        temporary: false,
      },
      expect.objectContaining({ address: '2001:db8::11', deprecated: true, unusable: false }),
      expect.objectContaining({ address: '2001:db8::10', deprecated: false, prefix: 64 }),
    ]);
  });

  test('default routes by which packets leave, of every table and next hop', () => {
    expect(recordedHost().defaultRoutes).toEqual([
      { family: 'IPv4', device: 'eth0', gateway: '192.0.2.1' },
      { family: 'IPv6', device: 'eth0', gateway: 'fe80::1' },
    ]);
    const multipath = [
      {
        dst: 'default',
        table: '7',
        nexthops: [
          { dev: 'a', gateway: '10.0.0.1' },
          { dev: 'b', via: { host: 'fe80::2' } },
        ],
      },
    ];
    expect(parseHost('[]', { IPv4: JSON.stringify(multipath), IPv6: '' }).defaultRoutes).toEqual([
      { family: 'IPv4', device: 'a', gateway: '10.0.0.1' },
      { family: 'IPv4', device: 'b', gateway: 'fe80::2' },
    ]);
  });

  test('a device without Ethernet header, a temporary and an unusable address', () => {
    const rows = [
      {},
      {
        ifindex: 9,
        ifname: 'tunl0',
        flags: ['NOARP', 'UP'],
        mtu: 1480,
        link_type: 'ipip',
        address: '0.0.0.0',
        linkinfo: { info_kind: 'ipip' },
        addr_info: [
          { family: 'inet', local: '10.244.7.0', prefixlen: 32, scope: 'global' },
          { family: 'inet6', local: '2001:db8::a', prefixlen: 64, scope: 'global', temporary: true },
          { family: 'inet6', local: '2001:db8::b', prefixlen: 64, scope: 'global', tentative: true },
          { family: 'inet6', local: '2001:db8::c', prefixlen: 64, scope: 'global', dadfailed: true },
        ],
      },
    ];
    const [device] = parseHost(JSON.stringify(rows), noRoutes).devices;
    expect(device).toMatchObject({ ifindex: 9, kind: 'ipip', hasEthernet: false, mac: '', mtu: 1480 });
    expect(device?.addresses.map(({ temporary, unusable }) => [temporary, unusable])).toEqual([
      [false, false],
      [true, false],
      [false, true],
      [false, true],
    ]);
  });

  test('an empty namespace', () => {
    expect(parseHost('', noRoutes)).toEqual({ devices: [], defaultRoutes: [] });
  });
});
