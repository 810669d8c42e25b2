/** Hosts to select from. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseHost } from '../../../src/host/parse.ts';
import type { HostAddress, HostDevice, HostState } from '../../../src/host/state.ts';
import { familyOf } from '../../../src/model/address.ts';

const recorded = (name: string) => readFileSync(join(import.meta.dirname, 'recorded', name), 'utf8');

/** A node as flannel and the bridge plugin make it, recorded in a network namespace. */
export function recordedHost(): HostState {
  const routes = { IPv4: recorded('route4.json'), IPv6: recorded('route6.json') };
  return { ...parseHost(recorded('address.json'), routes), reservedPorts: [] };
}

export function address(text: string, fields: Partial<HostAddress> = {}): HostAddress {
  const bits = familyOf(text) === 'IPv4' ? 24 : 64;
  const defaults = { scope: 'global', secondary: false, deprecated: false, unusable: false, temporary: false };
  return { address: text, prefix: bits, ...defaults, ...fields };
}

export function device(ifindex: number, name: string, fields: Partial<HostDevice> = {}): HostDevice {
  return {
    ifindex,
    name,
    kind: '',
    loopback: false,
    hasEthernet: true,
    master: undefined,
    parent: undefined,
    peerIfindex: undefined,
    peerNetns: undefined,
    mtu: 1500,
    mac: '02:00:00:00:00:01',
    up: true,
    addresses: [],
    ...fields,
  };
}

export const loopback: HostDevice = device(1, 'lo', {
  loopback: true,
  mtu: 65536,
  addresses: [address('127.0.0.1', { scope: 'host' }), address('::1', { scope: 'host' })],
});

/** The host's side of a pod's veth. */
export function podVeth(ifindex: number, name: string, fields: Partial<HostDevice> = {}): HostDevice {
  return device(ifindex, name, { kind: 'veth', peerIfindex: 2, peerNetns: ifindex, ...fields });
}

export function host(devices: readonly HostDevice[], defaultDevice?: string): HostState {
  const route = { family: 'IPv4', device: defaultDevice ?? '', gateway: '192.0.2.1' } as const;
  const defaultRoutes = defaultDevice === undefined ? [] : [route];
  return { devices: [loopback, ...devices], defaultRoutes, reservedPorts: [] };
}
