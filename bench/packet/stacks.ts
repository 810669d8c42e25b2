/** What `perf script -F ip,sym` printed, added up: which functions the samples under one function fell into. */

export interface Share {
  /** A program of ours as `xdp_ingress`, without the kernel's prefix and tag. */
  readonly name: string;
  /** Part of the samples in the function itself, and in it or what it calls; 0 to 1. */
  readonly self: number;
  readonly total: number;
}

const plain = (symbol: string) =>
  symbol.replace(/^bpf_prog_[0-9a-f]{16}_/, '').replace(/\.(?:constprop|isra|part)\..*$/, '');

/** Stacks, innermost function first; in the text they are separated by empty lines. */
function* stacksOf(text: string): Generator<string[]> {
  for (const block of text.split(/\n\s*\n/)) {
    const stack = [...block.matchAll(/^\s+[0-9a-f]+ (\S+)/gm)].map(([, symbol = '']) => plain(symbol));
    if (stack.length > 0) yield stack;
  }
}

/** @param under only stacks with this function count @returns by their own share, the largest first */
export function sharesOf(text: string, under: string): Share[] {
  const self = new Map<string, number>();
  const total = new Map<string, number>();
  const add = (to: Map<string, number>, name: string) => to.set(name, (to.get(name) ?? 0) + 1);
  let samples = 0;
  for (const stack of stacksOf(text)) {
    if (!stack.includes(under)) continue;
    samples++;
    add(self, stack[0] ?? '');
    for (const name of new Set(stack)) add(total, name);
  }
  return [...total]
    .map(([name, count]) => ({ name, self: (self.get(name) ?? 0) / samples, total: count / samples }))
    .sort((a, b) => b.self - a.self || b.total - a.total || (a.name < b.name ? -1 : 1));
}
