/** From what is dialled to the frontend that answers there, as bpf/lib/frontend.h and lookup.h have it; or why there is none. */

import { encode } from '../../../maps-schema/codec.ts';
import {
  CONTROL_SERVICE_CIDRS4,
  CONTROL_SERVICE_CIDRS6,
  cidrKey,
  control,
  type Frontend,
  frontend as frontendCodec,
  frontendKey,
  mark,
  NODE_ADDRESS_LOCAL,
  NODE_ADDRESS_NODE_PORT,
  SERVICE_ADDRESS_CLUSTER_IP,
  serviceAddressKey,
} from '../../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import { type Address, familyOf } from '../../model/address.ts';
import { cidrContains } from '../../model/cidr.ts';
import { PROTOCOL_NUMBERS } from '../../model/compiled.ts';
import { endpoint, protocolName } from '../format.ts';
import type { FrontendRow } from '../views/frontends.ts';
import { readNodePortAddresses } from '../views/node-ports.ts';
import { decodeRows } from '../views/rows.ts';
import { nodeAddressFlagsOf } from './client.ts';
import type { Verdict } from './model.ts';
import type { Request } from './request.ts';

type To = Request['to'];

export const isAny = (address: Address): boolean => address === '0.0.0.0' || address === '::';
const anyOf = (address: Address) => (familyOf(address) === 'IPv4' ? '0.0.0.0' : '::');

function lookUp(maps: Maps, address: Address, { port, protocol }: To): Frontend | undefined {
  const value = maps.frontends.lookup(encode(frontendKey, { address, port, proto: PROTOCOL_NUMBERS[protocol] }));
  return value === undefined ? undefined : frontendCodec.read(value, 0);
}

/** @param localhost 127.0.0.0/8 answers NodePorts: for a socket of the node, where the configuration lets it */
export function frontendOf(maps: Maps, to: To, localhost: boolean): Frontend | undefined {
  if (!isAny(to.address)) {
    const exact = lookUp(maps, to.address, to);
    if (exact !== undefined) return exact;
  }
  const answers = (nodeAddressFlagsOf(maps, to.address) & NODE_ADDRESS_NODE_PORT) !== 0;
  return answers || (localhost && isLoopback4(to.address)) ? lookUp(maps, anyOf(to.address), to) : undefined;
}

export const isLoopback4 = (address: Address): boolean => address.startsWith('127.') || address === '0.0.0.0';

function isClusterIp(maps: Maps, address: Address): boolean {
  const value = maps.serviceAddresses.lookup(encode(serviceAddressKey, { address }));
  return value !== undefined && (mark.read(value, 0).flags & SERVICE_ADDRESS_CLUSTER_IP) !== 0;
}

/** @returns the ServiceCIDR that an address without a Service lies in; undefined: in none that is known. */
function unallocatedIn(maps: Maps, address: Address): string | undefined {
  const known = familyOf(address) === 'IPv4' ? CONTROL_SERVICE_CIDRS4 : CONTROL_SERVICE_CIDRS6;
  if ((control.read(maps.control.view, 0).flags & known) === 0) return undefined;
  if (maps.serviceAddresses.lookup(encode(serviceAddressKey, { address })) !== undefined) return undefined;
  for (const [{ prefixlen, address: network }] of decodeRows(maps.serviceCidrs.entries(), cidrKey, mark)) {
    const bits = familyOf(network) === 'IPv4' ? prefixlen - 96 : prefixlen;
    if (familyOf(network) === familyOf(address) && cidrContains({ address: network, bits }, address))
      return `${network}/${bits}`;
  }
  return undefined;
}

export interface NoFrontend {
  readonly verdict: Verdict;
  readonly reason?: string;
  readonly why: string;
  readonly advice?: string;
}

const nameOf = ({ namespace, name, port }: FrontendRow) => `${namespace}/${name}${port && `:${port}`}`;

/**
 * Why nothing answers there, and what becomes of the packet.
 * @param frontends all of them @param backends `address:port` of the backends of all, with whose they are
 */
export function whyNoFrontend(
  maps: Maps,
  to: To,
  frontends: readonly FrontendRow[],
  backends: (address: Address) => readonly { readonly port: number; readonly service: string }[],
): NoFrontend {
  const { address, port, protocol } = to;
  const here = frontends.filter((row) => row.address === address);
  if (isClusterIp(maps, address)) {
    const offered = here.map((row) => `${row.frontendPort}/${row.protocol} (${nameOf(row)})`).join(', ');
    return {
      verdict: 'refused',
      reason: 'REJECT_NO_PORT',
      why: `${address} is a cluster IP, but has no port ${port}/${protocol}; it has ${offered}`,
    };
  }
  const flags = nodeAddressFlagsOf(maps, address);
  if (flags & NODE_ADDRESS_LOCAL) return { verdict: 'left', ...ofNodeAddress(maps, to, flags, frontends) };
  if (here.length > 0) {
    const offered = here.map((row) => `${row.frontendPort}/${row.protocol} (${nameOf(row)})`).join(', ');
    return {
      verdict: 'left',
      why: `${address} is an address of a Service, but not this port: it has ${offered}. External and load balancer addresses refuse nothing: the packet goes on by routing`,
    };
  }
  const cidr = unallocatedIn(maps, address);
  if (cidr !== undefined) {
    return {
      verdict: 'dropped',
      reason: 'DROP_UNALLOCATED',
      why: `${address} is of the ServiceCIDR ${cidr}, and no Service has it`,
    };
  }
  const serving = backends(address);
  if (serving.length > 0) {
    const whose = serving.map((row) => `${endpoint(address, row.port)} of ${row.service}`).join(', ');
    return {
      verdict: 'left',
      why: `${address} is a backend's own address (${whose}): packets to it go there by routing. Clients of a headless Service dial such addresses`,
    };
  }
  return {
    verdict: 'left',
    why: `no Service on this node has ${address}: packets to it go by routing`,
    advice:
      'if a Service should have it: "sluice service problems" lists what was refused; a headless Service has no address; of a load balancer with ipMode Proxy, or with a host name, the network answers itself; a Service may be left to another proxy by its label service.kubernetes.io/service-proxy-name',
  };
}

function ofNodeAddress(maps: Maps, to: To, flags: number, frontends: readonly FrontendRow[]) {
  const { address, port, protocol } = to;
  const nodePort = frontends.find(
    (row) => row.address === anyOf(address) && row.frontendPort === port && row.protocol === protocol,
  );
  if ((flags & NODE_ADDRESS_NODE_PORT) === 0 && nodePort !== undefined) {
    const answering = readNodePortAddresses(maps).filter((other) => familyOf(other) === familyOf(address));
    return {
      why: `${address} is an address of this node on which NodePorts do not answer: the packet goes to a process that listens there, or is refused by the stack`,
      advice: `dial ${answering.join(' or ') || 'another node'}, or let nodePortAddresses name ${address}`,
    };
  }
  const other = frontends.find((row) => row.address === anyOf(address) && row.frontendPort === port);
  return {
    why: `${address} is an address of this node, and ${port}/${protocol} is no NodePort: the packet goes to a process that listens there, or is refused by the stack`,
    ...(other !== undefined && {
      advice: `${port} is a NodePort of ${nameOf(other)} by ${other.protocol}, not by ${protocolName(PROTOCOL_NUMBERS[protocol])}`,
    }),
  };
}
