/** Where the kernel would send a packet, asked of `ip route get`. */
import { execFileSync } from 'node:child_process';
import type { Address } from '../model/address.ts';

export interface Route {
  readonly device: string;
  readonly ifindex: number;
  /** Next hop; undefined: the destination itself. */
  readonly gateway?: string;
  /** The destination is this node. */
  readonly local?: true;
}

interface Answer {
  dst?: string;
  type?: string;
  dev?: string;
  gateway?: string;
  via?: { host?: string };
}

const OPTIONS = { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, stdio: 'pipe' } as const;

/** The words of `ip` that answer, and its input. */
export const ROUTE_COMMANDS = {
  links: ['-j', 'link', 'show'],
  routes: ['-j', '-force', '-batch', '-'],
  input: (addresses: readonly Address[]): string => addresses.map((address) => `route get ${address}\n`).join(''),
} as const;

/** @returns by address; those that no route leads to are missing. */
export function readRoutes(addresses: readonly Address[]): Map<Address, Route> {
  if (addresses.length === 0) return new Map();
  const { links, routes, input } = ROUTE_COMMANDS;
  return parseRoutes(run(links), run(routes, input(addresses)));
}

/** @param links output of `ip -j link show` @param answers that of `ip -j -batch`, a line for each route that there is */
export function parseRoutes(links: string, answers: string): Map<Address, Route> {
  const routes = new Map<Address, Route>();
  const indexes = new Map<string, number>();
  for (const line of linesOf(links))
    for (const { ifname, ifindex } of line as { ifname: string; ifindex: number }[]) indexes.set(ifname, ifindex);
  for (const line of linesOf(answers)) {
    for (const { dst, type, dev, gateway, via } of line as Answer[]) {
      if (dst === undefined || dev === undefined || (type !== undefined && type !== 'unicast' && type !== 'local'))
        continue;
      const next = gateway ?? via?.host;
      routes.set(dst, {
        device: dev,
        ifindex: indexes.get(dev) ?? 0,
        ...(next !== undefined && { gateway: next }),
        ...(type === 'local' && { local: true as const }),
      });
    }
  }
  return routes;
}

/** A route that is missing makes `ip` fail, and the others are told. */
function run(args: readonly string[], input?: string): string {
  try {
    return execFileSync('ip', args, { ...OPTIONS, ...(input !== undefined && { input }) });
  } catch (error) {
    return String((error as { stdout?: string }).stdout ?? '');
  }
}

function linesOf(text: string): unknown[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .flatMap((line) => {
      try {
        return [JSON.parse(line)];
      } catch {
        return [];
      }
    });
}
