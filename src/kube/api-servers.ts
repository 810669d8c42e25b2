/** Where the agent reaches the API server: no Service may take that address and port (CVE-2020-8554). */
import { lookup } from 'node:dns/promises';
import { type Address, parseAddress } from '../model/address.ts';

export type ApiServers = readonly { readonly address: Address; readonly port: number }[];

/** Milliseconds that a name may take to resolve: a start does not wait for a resolver that is silent. */
const RESOLVE_MS = 2000;

/**
 * @param servers URLs
 * @returns their addresses; none of a server whose name cannot be resolved now. Never rejects.
 */
export async function apiServerAddresses(
  servers: readonly string[],
  resolve: (name: string) => Promise<readonly { readonly address: string }[]> = (name) => lookup(name, { all: true }),
): Promise<ApiServers> {
  return (await Promise.all(servers.map((server) => addressesOf(server, resolve)))).flat();
}

async function addressesOf(
  server: string,
  resolve: (name: string) => Promise<readonly { readonly address: string }[]>,
): Promise<ApiServers> {
  if (!URL.canParse(server)) return [];
  const { hostname, port, protocol } = new URL(server);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const number = Number(port) || (protocol === 'https:' ? 443 : 80);
  const own = parseAddress(host);
  const found = own === undefined ? await withinTime(resolve(host)) : [{ address: own }];
  return found.flatMap(({ address }) => {
    const canonical = parseAddress(address);
    return canonical === undefined ? [] : [{ address: canonical, port: number }];
  });
}

async function withinTime<T>(wanted: Promise<readonly T[]>): Promise<readonly T[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly T[]>((done) => {
    timer = setTimeout(() => done([]), RESOLVE_MS);
  });
  try {
    return await Promise.race([wanted, late]);
  } catch {
    return [];
  } finally {
    clearTimeout(timer);
  }
}
