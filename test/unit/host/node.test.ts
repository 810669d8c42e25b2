import { describe, expect, test } from 'vitest';
import { loadConfiguration } from '../../../src/config/load.ts';
import { detectLocalImplemented, nodeNotEligible, podCidrs, primaryAddresses, zoneOf } from '../../../src/host/node.ts';
import type { Configuration } from '../../../src/model/configuration.ts';
import type { Node } from '../../../src/model/kubernetes.ts';

const { configuration } = loadConfiguration(undefined);
const clusterCidrs = { IPv4: [{ address: '10.244.0.0', bits: 16 }], IPv6: [] };
const using = (settings: Partial<Configuration>): Configuration => ({ ...configuration, clusterCidrs, ...settings });
const node: Node = { spec: { podCIDR: '10.244.1.0/24', podCIDRs: ['10.244.1.0/24', 'fd00:10:244:1::/64'] } };

describe('detectLocalMode', () => {
  test('R-36: ClusterCIDR takes the networks of the configuration, only in their family', () => {
    const settings = using({ detectLocalMode: 'ClusterCIDR' });
    expect(podCidrs(settings, node)).toEqual([{ address: '10.244.0.0', bits: 16 }]);
    expect(detectLocalImplemented(settings, node)).toEqual({ IPv4: true, IPv6: false });
    expect(detectLocalImplemented(configuration, node)).toEqual({ IPv4: false, IPv6: false });
  });

  test('R-36: NodeCIDR takes those of the Node object', () => {
    const settings = using({ detectLocalMode: 'NodeCIDR' });
    expect(podCidrs(settings, node)).toEqual([
      { address: '10.244.1.0', bits: 24 },
      { address: 'fd00:10:244:1::', bits: 64 },
    ]);
    expect(podCidrs(settings, { spec: { podCIDR: '10.244.2.0/24' } })).toEqual([{ address: '10.244.2.0', bits: 24 }]);
    expect(podCidrs(settings, { spec: { podCIDRs: ['x', 7] } } as unknown as Node)).toEqual([]);
    expect(detectLocalImplemented(settings, node)).toEqual({ IPv4: true, IPv6: true });
    expect(detectLocalImplemented(settings, undefined)).toEqual({ IPv4: false, IPv6: false });
  });

  test('R-36: by devices there are no networks, and both families are told apart', () => {
    for (const detectLocalMode of ['BridgeInterface', 'InterfaceNamePrefix'] as const) {
      expect(podCidrs(using({ detectLocalMode }), node)).toEqual([]);
      expect(detectLocalImplemented(using({ detectLocalMode }), node)).toEqual({ IPv4: true, IPv6: true });
    }
  });
});

test('R-25: the zone is the label of the Node object', () => {
  expect(zoneOf({ metadata: { labels: { 'topology.kubernetes.io/zone': 'a' } } })).toBe('a');
  expect(zoneOf({ metadata: { labels: { 'topology.kubernetes.io/zone': '' } } })).toBeUndefined();
  expect(zoneOf({ metadata: { labels: { 'topology.kubernetes.io/zone': 7 } } } as unknown as Node)).toBeUndefined();
  expect(zoneOf(undefined)).toBeUndefined();
});

test('R-79: a Node that is being deleted, or that the autoscaler will delete, is not eligible', () => {
  expect(nodeNotEligible(node)).toBeUndefined();
  expect(nodeNotEligible(undefined)).toBeUndefined();
  expect(nodeNotEligible({ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } })).toMatch(/being deleted/);
  expect(nodeNotEligible({ spec: { taints: [{ key: 'other' }] } })).toBeUndefined();
  expect(nodeNotEligible({ spec: { taints: [{ key: 'other' }, { key: 'ToBeDeletedByClusterAutoscaler' }] } })).toMatch(
    /taint/,
  );
  expect(nodeNotEligible({ spec: { taints: [null] } } as unknown as Node)).toBeUndefined();
});

test('R-53: the primary address of a family is its first InternalIP, else its first ExternalIP', () => {
  const addresses = [
    { type: 'ExternalIP', address: '203.0.113.1' },
    { type: 'ExternalIP', address: '2001:db8:0::1' },
    { type: 'InternalIP', address: '192.0.2.10' },
    { type: 'InternalIP', address: '192.0.2.11' },
  ];
  expect(primaryAddresses({ status: { addresses } }, configuration)).toEqual({
    IPv4: '192.0.2.10',
    IPv6: '2001:db8::1',
  });
  expect(primaryAddresses({ status: { addresses } }, { bindAddress: '::' })).toMatchObject({ IPv6: '2001:db8::1' });
});
