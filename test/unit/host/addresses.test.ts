import { describe, expect, test } from 'vitest';
import { parseConfiguration } from '../../../src/config/load.ts';
import { healthCheckAddresses, nodeAddresses } from '../../../src/host/addresses.ts';
import type { Node } from '../../../src/model/kubernetes.ts';
import { address, device, host } from './example.ts';

const settings = (text = '') =>
  parseConfiguration(`apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n${text}`, 'test')
    .configuration;

const state = host([
  device(2, 'eth0', {
    addresses: [
      address('192.0.2.10'),
      address('192.0.2.11', { secondary: true }),
      address('2001:db8::10'),
      address('fe80::10', { scope: 'link' }),
    ],
  }),
  device(3, 'cni0', { kind: 'bridge', addresses: [address('10.244.1.1'), address('fe80::10', { scope: 'link' })] }),
]);
const node: Node = {
  status: {
    addresses: [
      { type: 'InternalIP', address: '192.0.2.10' },
      { type: 'InternalIP', address: '2001:db8::10' },
    ],
  },
};

/** Addresses that answer NodePorts. */
const answering = (object: Node | undefined, text?: string) =>
  nodeAddresses(state, object, settings(text))
    .filter(({ flags }) => flags === 3)
    .map(({ address: text }) => text);

const every = ['10.244.1.1', '192.0.2.10', '192.0.2.11', '2001:db8::10', 'fe80::10'];

describe('nodeAddresses', () => {
  test('R-39: every address of every device is local, once each, loopback included', () => {
    const rows = nodeAddresses(state, node, settings());
    expect(rows.map(({ address: text }) => text)).toEqual([
      '10.244.1.1',
      '127.0.0.1',
      '192.0.2.10',
      '192.0.2.11',
      '2001:db8::10',
      '::1',
      'fe80::10',
    ]);
    expect(rows.every(({ flags }) => (flags & 1) === 1)).toBe(true);
  });

  test('R-53: primary is the address of the Node object', () => {
    expect(answering(node, 'nodePortAddresses: [primary]')).toEqual(['192.0.2.10', '2001:db8::10']);
    expect(answering(node, 'mode: nftables')).toEqual(['192.0.2.10', '2001:db8::10']);
  });

  test('R-53: in mode iptables every address answers, link-local ones too', () => {
    expect(answering(node, 'mode: iptables')).toEqual(every);
  });

  test('R-53: networks, a family without any unrestricted', () => {
    expect(answering(node, 'nodePortAddresses: [192.0.2.0/31, 192.0.2.11/32]')).toEqual([
      '192.0.2.11',
      '2001:db8::10',
      'fe80::10',
    ]);
    expect(answering(node, 'nodePortAddresses: [192.0.2.0/24, "2001:db8::/64"]')).toEqual([
      '192.0.2.10',
      '192.0.2.11',
      '2001:db8::10',
    ]);
  });

  test('R-53: the InternalIP comes before the ExternalIP, and bindAddress before both', () => {
    const external: Node = {
      status: {
        addresses: [
          { type: 'ExternalIP', address: '192.0.2.11' },
          { type: 'InternalIP', address: '192.0.2.10' },
        ],
      },
    };
    expect(answering(external, 'mode: nftables')).toEqual(['192.0.2.10', '2001:db8::10', 'fe80::10']);
    expect(answering(node, 'mode: nftables\nbindAddress: 192.0.2.11')).toEqual(['192.0.2.11', '2001:db8::10']);
  });

  test('R-53: without a Node object there is no primary address to restrict to', () => {
    expect(answering(undefined)).toEqual(every);
  });

  test('R-54: an address added to the node answers when a network holds it', () => {
    const grown = host([device(2, 'eth0', { addresses: [address('192.0.2.10'), address('192.0.2.200')] })]);
    const rows = nodeAddresses(grown, node, settings('nodePortAddresses: [192.0.2.0/24]'));
    expect(rows.find(({ address: text }) => text === '192.0.2.200')?.flags).toBe(3);
  });

  test('R-55: loopback addresses never answer packets, even when a network names them', () => {
    expect(answering(node, 'nodePortAddresses: [127.0.0.0/8, "::1/128"]')).toEqual([]);
  });
});

describe('healthCheckAddresses', () => {
  test('R-75: the wildcard address of a family without restriction, else what answers NodePorts', () => {
    expect(healthCheckAddresses(state, node, settings('mode: iptables'))).toEqual(['0.0.0.0', '::']);
    expect(healthCheckAddresses(state, node, settings('mode: nftables'))).toEqual(['192.0.2.10', '2001:db8::10']);
    expect(healthCheckAddresses(state, node, settings('nodePortAddresses: [192.0.2.0/24, "fe80::/10"]'))).toEqual([
      '192.0.2.10',
      '192.0.2.11',
    ]);
  });

  test('R-75: also on loopback addresses where a network names them', () => {
    const addresses = (networks: string) =>
      healthCheckAddresses(state, node, settings(`nodePortAddresses: [${networks}]`));
    expect(addresses('127.0.0.0/8, "::1/128"')).toEqual(['127.0.0.1', '::1']);
    expect(addresses('127.0.0.0/8, 192.0.2.10/32, "2001:db8::/64"')).toEqual([
      '127.0.0.1',
      '192.0.2.10',
      '2001:db8::10',
    ]);
    expect(addresses('0127.0.0.0/08, "::1/128"')).toEqual(['127.0.0.1', '::1']);
  });
});
