/** Matching that both kinds of rules share. */
import { type Address, parseAddress } from '../model/address.ts';
import { cidrContains, formatCidr, parseCidr } from '../model/cidr.ts';
import type { Protocol } from '../model/compiled.ts';
import type { Findings } from './rules.ts';

const PROTOCOLS: Readonly<Record<string, Protocol>> = {
  tcp: 'TCP',
  udp: 'UDP',
  sctp: 'SCTP',
  '6': 'TCP',
  '17': 'UDP',
  '132': 'SCTP',
};

/** @returns undefined for one that no Service has. */
export function protocolOf(text: string): Protocol | undefined {
  return PROTOCOLS[text.toLowerCase()];
}

/** @returns the only address of `10.0.0.1` or `10.0.0.1/32`, canonical; undefined for networks and garbage. */
export function hostOf(text: string): Address | undefined {
  const [address = '', bits] = text.split('/');
  const parsed = parseAddress(address);
  if (parsed === undefined) return undefined;
  return bits === undefined || Number(bits) === (parsed.includes(':') ? 128 : 32) ? parsed : undefined;
}

/** @returns undefined when the text is no address and no network. */
export function isWithin(address: Address, network: string): boolean | undefined {
  const host = hostOf(network);
  if (host !== undefined) return host === address;
  const cidr = parseCidr(network);
  return cidr === undefined ? undefined : cidrContains(cidr, address);
}

/** The same for a source, and notes what it was compared with. */
export function isSourceWithin(address: Address, network: string, findings: Findings): boolean | undefined {
  const result = isWithin(address, network);
  const host = hostOf(network);
  if (result === undefined) return undefined;
  const cidr = parseCidr(network);
  findings.networks.add(host === undefined && cidr !== undefined ? formatCidr(cidr) : (host ?? network));
  return result;
}

/** @param pattern with `+` (iptables) or `*` (nftables) at its end for any that begin so. */
export function isDevice(name: string, pattern: string): boolean {
  return /[+*]$/.test(pattern) ? name !== '' && name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** @returns whether a port is in `80`, `80:90` or `80,443`. */
export function isPort(port: number, text: string): boolean {
  return text.split(',').some((part) => {
    const [first = '', last = first] = part.split(/[:-]/);
    return Number(first) <= port && port <= Number(last);
  });
}

/** `namespace/name:port` at the beginning of a comment of kube-proxy's; undefined: it says something else. */
export function serviceOfComment(comment: string): string | undefined {
  return /(?:^|\s)([a-z0-9][a-z0-9-]{0,62}\/[a-z0-9][a-z0-9-]{0,62}(?::[a-z0-9-]{0,63})?)(?=\s|$)/.exec(
    comment.slice(0, 512).replaceAll('"', ''),
  )?.[1];
}
