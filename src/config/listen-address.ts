/** `healthzBindAddress` and `metricsBindAddress`: an IP with or without a port, as kube-proxy takes them. */
import type { ListenAddress } from '../model/configuration.ts';
import { sloppyAddress } from './address.ts';

/** @returns undefined when the text is neither an IP nor `IP:port` (`[IP]:port` for IPv6) with a port of 1 to 65535. */
export function parseListenAddress(text: string, defaultPort: number): ListenAddress | undefined {
  const bare = sloppyAddress(text);
  if (bare !== undefined) return { address: bare, port: defaultPort };
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const address = sloppyAddress(match[1] ?? match[2] ?? '');
  const port = Number(match[3]);
  if (address === undefined || port < 1 || port > 65535) return undefined;
  return { address, port };
}

/** `address:port`, an IPv6 address in brackets. */
export function formatListenAddress(listen: ListenAddress): string {
  const host = listen.address.includes(':') ? `[${listen.address}]` : listen.address;
  return `${host}:${listen.port}`;
}
