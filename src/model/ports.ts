/** Ports of TCP, UDP and SCTP: ranges, and bits as the map reserved_ports has them. */

/** Inclusive at both ends. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Ports that source NAT chooses from when the client's own is taken, as MASQUERADE does. */
export const SNAT_PORTS: PortRange = { first: 1024, last: 65535 };
/** The API server's default --service-node-port-range, which source NAT leaves alone. */
export const NODE_PORTS: PortRange = { first: 30000, last: 32767 };

export function rangeContains({ first, last }: PortRange, port: number): boolean {
  return first <= port && port <= last;
}

/** @returns how many ports source NAT has for one backend when it spares these too. */
export function sourceNatPorts(reserved: readonly PortRange[]): number {
  const usable = (range: PortRange) => common(range, SNAT_PORTS) - common(range, NODE_PORTS);
  return usable(SNAT_PORTS) - reserved.reduce((sum, range) => sum + usable(range), 0);
}

/** Ports that are in both. */
function common(a: PortRange, b: PortRange): number {
  return Math.max(0, Math.min(a.last, b.last) - Math.max(a.first, b.first) + 1);
}

/** @param text e.g. `8080,9000-9100`, as sysctls have it. @returns its ranges; what is malformed is left out. */
export function parsePortRanges(text: string): PortRange[] {
  return text.split(',').flatMap((part) => {
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim()) ?? [];
    const range = { first: Number(first), last: Number(last) };
    return range.first <= range.last && range.last <= 65535 ? [range] : [];
  });
}

/** `8080,9000-9100` */
export function formatPortRanges(ranges: readonly PortRange[]): string {
  return ranges.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(',');
}

/** @param words bit n of word w: port 32 * w + n. @param base port of the first bit. @returns the runs of ports that are set. */
export function rangesOfBits(words: Uint32Array, base = 0): PortRange[] {
  const ranges: PortRange[] = [];
  let first: number | undefined;
  for (let port = 0; port <= words.length * 32; port++) {
    const set = (((words[port >> 5] ?? 0) >>> (port & 31)) & 1) === 1;
    if (set) first ??= port;
    else if (first !== undefined) {
      ranges.push({ first: base + first, last: base + port - 1 });
      first = undefined;
    }
  }
  return ranges;
}
