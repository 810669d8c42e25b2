/** Finds the few rules of a long chain that may match: kube-proxy's have one for each address that is dialled. */
import type { Address } from '../model/address.ts';
import type { IptablesChain, IptablesRule } from './iptables-read.ts';
import { hostOf } from './match.ts';

/** Shorter chains are gone through. */
const LONG = 32;

export interface ChainIndex {
  /** @returns positions of the rules that may match, ascending. */
  candidates(address: Address, port: number): readonly number[];
}

export function indexChain({ rules }: IptablesChain): ChainIndex {
  const all = rules.map((_, i) => i);
  if (rules.length <= LONG) return { candidates: () => all };
  const byAddress = new Map<string, number[]>();
  const byPort = new Map<string, number[]>();
  const others: number[] = [];
  rules.forEach((rule, i) => {
    const address = onlyAddress(rule);
    const port = wantedOf(rule, '--dport');
    if (address !== undefined) put(byAddress, address, i);
    else if (port !== undefined && /^\d+$/.test(port)) put(byPort, port, i);
    else others.push(i);
  });
  return {
    candidates: (address, port) =>
      [...(byAddress.get(address) ?? []), ...(byPort.get(String(port)) ?? []), ...others].sort((a, b) => a - b),
  };
}

function put(map: Map<string, number[]>, key: string, value: number): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [value]);
  else known.push(value);
}

/** What a rule compares an option with; undefined when it does not, or wants anything but that. */
export function wantedOf({ matches }: IptablesRule, option: string): string | undefined {
  const match = matches.find((one) => one.option === option && !one.not);
  return match?.args[0];
}

export function onlyAddress(rule: IptablesRule): Address | undefined {
  const destination = wantedOf(rule, '-d');
  return destination === undefined ? undefined : hostOf(destination);
}
