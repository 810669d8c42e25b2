/** Whether programs may look into nf_conntrack: the kernel, or the module when it is loaded, names what they may call. */
import { readFileSync, statSync } from 'node:fs';

const FUNCTION = Buffer.from('\0bpf_skb_ct_lookup\0');
const FILES = ['/sys/kernel/btf/nf_conntrack', '/sys/kernel/btf/vmlinux'];

/** By file: a module that is loaded anew has another time. */
const found = new Map<string, { readonly stamp: number; readonly present: boolean }>();

/** @returns whether the kernel has bpf_skb_ct_lookup and its like. Cheap after the first call. */
export function haveConntrack(): boolean {
  return FILES.some(contains);
}

function contains(file: string): boolean {
  const stamp = statSync(file, { throwIfNoEntry: false })?.ctimeMs;
  if (stamp === undefined) return false;
  const before = found.get(file);
  if (before?.stamp === stamp) return before.present;
  const present = readFileSync(file).includes(FUNCTION);
  found.set(file, { stamp, present });
  return present;
}
