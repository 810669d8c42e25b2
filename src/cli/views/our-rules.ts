/** Our rules and what is known of the node, read from the maps, for the comparison with kube-proxy's. */
import {
  backendSlot,
  cidrKey,
  DEVICE_NODE,
  DEVICE_POD,
  device as deviceCodec,
  deviceKey,
  FRONTEND_EXTERNAL_DROP,
  FRONTEND_HOST_ALLOWED,
  FRONTEND_INTERNAL_DROP,
  FRONTEND_ROUTER,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SNAT_POD,
  FRONTEND_SOURCE_RANGES,
  frontend as frontendCodec,
  frontendKey,
  mark,
  NODE_ADDRESS_LOCAL,
  NODE_ADDRESS_NODE_PORT,
  nodeAddressKey,
} from '../../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import type { Surroundings } from '../../migrate/compare.ts';
import { createOurRules, type OurFrontend } from '../../migrate/ours.ts';
import { endpointText, type Rules, type Source } from '../../migrate/rules.ts';
import { type Address, type Family, familyOf } from '../../model/address.ts';
import { cidrContains } from '../../model/cidr.ts';
import type { Cidr, Protocol } from '../../model/compiled.ts';
import { protocolName } from '../format.ts';
import { readSourceRanges } from './frontends.ts';
import { nameOf, readNames } from './names.ts';
import { decodeRows, elementOf } from './rows.ts';

/** Addresses that nobody has (RFC 2544, RFC 3849), for somebody outside; and for pods whose network is not known. */
const OUTSIDE: Readonly<Record<Family, Address>> = { IPv4: '198.18.0.9', IPv6: '2001:db8:ffff::9' };
const UNKNOWN_POD: Readonly<Record<Family, Address>> = { IPv4: '198.18.1.9', IPv6: '2001:db8:fffe::9' };

export function readOurRules(maps: Maps): Rules {
  return createOurRules(readOurFrontends(maps), new Set(nodeAddresses(maps, NODE_ADDRESS_NODE_PORT)));
}

function readOurFrontends(maps: Maps): OurFrontend[] {
  const names = readNames(maps.servicePorts.entries());
  const ranges = readSourceRanges(maps.sourceRanges.entries());
  const extents = new Map<string, readonly string[]>();
  const backends = (base: number, count: number): readonly string[] => {
    const key = `${base} ${count}`;
    const known = extents.get(key);
    if (known !== undefined) return known;
    const found = new Set<string>();
    for (let i = 0; i < count; i++) {
      const slot = elementOf(maps.backendSlots, backendSlot, base + i);
      if (slot !== undefined && slot.backendId !== 0) found.add(endpointText(slot.address, slot.port));
    }
    const list = [...found].sort();
    extents.set(key, list);
    return list;
  };
  return [...decodeRows(maps.frontends.entries(), frontendKey, frontendCodec)].map(([key, row]): OurFrontend => {
    const { namespace, name, port } = nameOf(names, row.servicePortId);
    const has = (flag: number) => (row.flags & flag) !== 0;
    return {
      name: `${namespace}/${name}${port === '' ? '' : `:${port}`}`,
      address: key.address,
      port: key.port,
      protocol: protocolName(key.proto) as Protocol,
      internal: backends(row.internalBase, row.internalCount),
      external: backends(row.externalBase, row.externalCount),
      internalDrop: has(FRONTEND_INTERNAL_DROP),
      externalDrop: has(FRONTEND_EXTERNAL_DROP),
      router: has(FRONTEND_ROUTER),
      masquerade: { pod: has(FRONTEND_SNAT_POD), node: has(FRONTEND_SNAT_HOST), outside: has(FRONTEND_SNAT_OUTSIDE) },
      affinitySeconds: row.affinitySeconds,
      nodeAllowed: has(FRONTEND_HOST_ALLOWED),
      ...(has(FRONTEND_SOURCE_RANGES) && { sourceRanges: ranges.get(row.servicePortId) ?? [] }),
    };
  });
}

function nodeAddresses(maps: Maps, flag: number): Address[] {
  return [...decodeRows(maps.nodeAddresses.entries(), nodeAddressKey, mark)].flatMap(([{ address }, { flags }]) =>
    (flags & flag) === 0 ? [] : [address],
  );
}

/** @param deviceName by index. */
export function readSurroundings(maps: Maps, deviceName: (ifindex: number) => string | undefined): Surroundings {
  const local = nodeAddresses(maps, NODE_ADDRESS_LOCAL);
  const nodePorts = nodeAddresses(maps, NODE_ADDRESS_NODE_PORT);
  const frontends = new Set(
    [...decodeRows(maps.frontends.entries(), frontendKey, frontendCodec)].map(([k]) => k.address),
  );
  const podNetworks = [...decodeRows(maps.podCidrs.entries(), cidrKey, mark)].map(([{ prefixlen, address }]): Cidr => {
    return { address, bits: familyOf(address) === 'IPv4' ? prefixlen - 96 : prefixlen };
  });
  const devices = [...decodeRows(maps.devices.entries(), deviceKey, deviceCodec)];
  const deviceWith = (flag: number) => {
    const row = devices.find(([, { flags }]) => (flags & flag) !== 0);
    return (row && deviceName(row[0].ifindex)) ?? '';
  };
  const [pods, outside] = [deviceWith(DEVICE_POD), deviceWith(DEVICE_NODE)];
  const sources = (family: Family): Record<Source['client'], Source> => {
    const network = podNetworks.find(({ address }) => familyOf(address) === family);
    // Not that of a bridge, which looks like a pod's: what leaves the node seldom has it.
    const own = [...nodePorts, ...local].find(
      (address) =>
        familyOf(address) === family &&
        !/^(127\.|::1$|fe80:)/.test(address) &&
        !podNetworks.some((pods) => cidrContains(pods, address)),
    );
    return {
      pod: { client: 'pod', address: network === undefined ? UNKNOWN_POD[family] : within(network), device: pods },
      node: { client: 'node', address: own ?? OUTSIDE[family], device: '' },
      outside: { client: 'outside', address: OUTSIDE[family], device: outside },
    };
  };
  return {
    local: new Set([...local, '127.0.0.1', '::1']),
    sources: { IPv4: sources('IPv4'), IPv6: sources('IPv6') },
    podNetworks,
    // Not those of the loopback, of a link alone, and of Services, which IPVS mode's device has.
    nodePortAddresses: local.filter((one) => !/^(127\.|::1$|fe80:)/.test(one) && !frontends.has(one)),
  };
}

/** An address of a network that no pod is likely to have. */
function within({ address }: Cidr): Address {
  return address.includes(':') ? address.replace(/::$/, '::fffe') : address.replace(/\.\d+$/, '.253');
}
