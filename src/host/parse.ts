/** Turns the output of `ip -j` (iproute2) into a HostNetwork. Fields that are missing mean their usual value. */
import { type Address, type Family, parseAddress } from '../model/address.ts';
import type { DefaultRoute, HostAddress, HostDevice, HostNetwork } from './state.ts';

interface IpAddress {
  family?: string;
  local?: string;
  broadcast?: string;
  prefixlen?: number;
  scope?: string;
  secondary?: boolean;
  deprecated?: boolean;
  tentative?: boolean;
  dadfailed?: boolean;
  temporary?: boolean;
}

interface IpDevice {
  ifindex?: number;
  ifname?: string;
  flags?: string[];
  mtu?: number;
  link_type?: string;
  address?: string;
  master?: string;
  link?: string;
  link_index?: number;
  link_netnsid?: number;
  linkinfo?: { info_kind?: string };
  addr_info?: IpAddress[];
}

interface IpRoute {
  type?: string;
  dst?: string;
  dev?: string;
  gateway?: string;
  via?: { host?: string };
  nexthops?: { dev?: string; gateway?: string; via?: { host?: string } }[];
}

/**
 * @param devices output of `ip -j -d address show`
 * @param routes output of `ip -j route show table all exact default`, by family
 * @throws SyntaxError when a text is not JSON.
 */
export function parseHost(devices: string, routes: Readonly<Record<Family, string>>): HostNetwork {
  return {
    devices: (parseList(devices) as IpDevice[]).flatMap(parseDevice).sort((a, b) => a.ifindex - b.ifindex),
    defaultRoutes: [...parseRoutes('IPv4', routes.IPv4), ...parseRoutes('IPv6', routes.IPv6)],
  };
}

/** `ip -j` prints nothing at all when there is nothing to list, and `{}` for rows that it left out. */
function parseList(text: string): unknown[] {
  return text.trim() === '' ? [] : (JSON.parse(text) as unknown[]);
}

function parseDevice(row: IpDevice): HostDevice[] {
  if (row.ifindex === undefined || row.ifname === undefined) return [];
  const kind = row.linkinfo?.info_kind ?? '';
  const isPair = kind === 'veth' || kind === 'netkit';
  return [
    {
      ifindex: row.ifindex,
      name: row.ifname,
      kind,
      loopback: row.link_type === 'loopback',
      hasEthernet: row.link_type === 'ether' || row.link_type === 'loopback',
      master: row.master,
      parent: isPair ? undefined : row.link,
      peerIfindex: isPair ? row.link_index : undefined,
      peerNetns: isPair ? row.link_netnsid : undefined,
      mtu: row.mtu ?? 1500,
      mac: row.link_type === 'ether' ? (row.address ?? '') : '',
      up: row.flags?.includes('UP') ?? false,
      addresses: (row.addr_info ?? []).flatMap(parseHostAddress),
    },
  ];
}

function parseHostAddress(row: IpAddress): HostAddress[] {
  const address = row.local === undefined ? undefined : parseAddress(row.local);
  if (address === undefined) return [];
  const broadcast = row.broadcast === undefined ? undefined : parseAddress(row.broadcast);
  return [
    {
      address,
      prefix: row.prefixlen ?? (row.family === 'inet6' ? 128 : 32),
      scope: row.scope ?? 'global',
      secondary: row.family === 'inet' && row.secondary === true,
      deprecated: row.deprecated === true,
      unusable: row.tentative === true || row.dadfailed === true,
      temporary: row.family === 'inet6' && (row.temporary === true || row.secondary === true),
      ...(broadcast !== undefined && { broadcast }),
    },
  ];
}

function parseRoutes(family: Family, text: string): DefaultRoute[] {
  return (parseList(text) as IpRoute[]).flatMap((route) => {
    if (route.dst !== 'default' || (route.type ?? 'unicast') !== 'unicast') return [];
    return (route.nexthops ?? [route]).flatMap((hop) => {
      if (hop.dev === undefined) return [];
      return [{ family, device: hop.dev, gateway: parseGateway(hop.gateway ?? hop.via?.host) }];
    });
  });
}

function parseGateway(text: string | undefined): Address | undefined {
  return text === undefined ? undefined : parseAddress(text);
}
