import { isIPv4, isIPv6 } from 'node:net';
import { describe, expect, it } from 'vitest';
import {
  bridgeMac,
  clientAddresses,
  eachFamily,
  nodeAddresses,
  podAddresses,
  podNetworks,
  routerAddresses,
} from '../../support/lab/addressing.ts';

const both = ['IPv4', 'IPv6'] as const;

describe('the address plan of a lab', () => {
  it('gives every host an address of its own in each family', () => {
    const hosts = [1, 2, 3].flatMap((n) => [
      nodeAddresses(n, both),
      clientAddresses(n, both),
      ...[1, 2, 3].map((host) => podAddresses(n, host, both)),
    ]);
    const all = [...hosts, routerAddresses('nodes', both), routerAddresses('clients', both)];
    for (const family of both) expect(new Set(all.map((addresses) => addresses[family])).size).toBe(all.length);
    expect(all.every(({ IPv4 = '', IPv6 = '' }) => isIPv4(IPv4) && isIPv6(IPv6))).toBe(true);
  });

  it('keeps pods inside the network of their node', () => {
    expect(podNetworks(10, both)).toEqual({ IPv4: '10.244.10.0', IPv6: 'fd44:0:0:a::' });
    expect(podAddresses(10, 254, both)).toEqual({ IPv4: '10.244.10.254', IPv6: 'fd44:0:0:a::fe' });
  });

  it('leaves out a family that the lab does not have', () => {
    expect(nodeAddresses(1, ['IPv6'])).toEqual({ IPv6: 'fd30::b' });
    expect(eachFamily(nodeAddresses(1, ['IPv4']))).toEqual([['IPv4', '172.30.0.11']]);
  });

  it('refuses a pod that has no room', () => {
    expect(() => podAddresses(1, 255, both)).toThrow(/room for 253 pods/);
  });

  it("derives the bridge's MAC from its address", () => {
    expect(bridgeMac(3)).toBe('0a:58:0a:f4:03:01');
  });
});
