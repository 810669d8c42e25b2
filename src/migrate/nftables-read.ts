/** What `nft -j list table` says: chains of rules, sets and maps. Anything may stand in it. */
import { parseAddress } from '../model/address.ts';
import { isWithin } from './match.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

export interface NftChain {
  readonly name: string;
  /** A base chain's. */
  readonly hook?: string;
  readonly type?: string;
  readonly priority: number;
  /** Statements of each rule. */
  readonly rules: (readonly Json[])[];
}

export interface NftSet {
  readonly has: (value: string) => boolean;
  /** Members are forgotten after so many seconds; undefined: never. */
  readonly timeout?: number;
}

/** A verdict by what is looked up: `10.96.0.1 . tcp . 80`. */
export interface NftMap {
  readonly verdicts: ReadonlyMap<string, Json>;
  readonly comments: ReadonlyMap<string, string>;
}

export interface NftTable {
  readonly chains: ReadonlyMap<string, NftChain>;
  readonly sets: ReadonlyMap<string, NftSet>;
  readonly maps: ReadonlyMap<string, NftMap>;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** A value that is compared, as text; parts of several joined by ` . `. undefined: it is no such value. */
export function valueText(value: Json | undefined): string | undefined {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return parseAddress(value) ?? value;
  if (!isObject(value)) return undefined;
  if (isObject(value.elem)) return valueText(value.elem.val);
  if (!isList(value.concat)) return undefined;
  const parts = value.concat.map(valueText);
  return parts.includes(undefined) ? undefined : parts.join(' . ');
}

/** @returns what an element of a set takes in beside single values: networks and ranges. */
function spanOf(element: Json): ((value: string) => boolean) | undefined {
  const value = isObject(element) && isObject(element.elem) ? (element.elem.val ?? null) : element;
  if (!isObject(value)) return undefined;
  const { prefix, range } = value;
  if (isObject(prefix)) {
    const network = `${prefix.addr}/${prefix.len}`;
    return (text) => {
      const address = parseAddress(text);
      return address !== undefined && isWithin(address, network) === true;
    };
  }
  if (isList(range)) {
    const [first, last] = range.map(Number);
    return (text) => Number(text) >= (first ?? Number.NaN) && Number(text) <= (last ?? Number.NaN);
  }
  return undefined;
}

export function readElements(elements: Json | undefined, timeout?: number): NftSet {
  const exact = new Set<string>();
  const spans: ((value: string) => boolean)[] = [];
  for (const element of isList(elements) ? elements : []) {
    const text = valueText(element);
    if (text !== undefined) exact.add(text);
    else {
      const span = spanOf(element);
      if (span !== undefined) spans.push(span);
    }
  }
  const has = (value: string) => exact.has(value) || spans.some((span) => span(value));
  return { has, ...(timeout !== undefined && { timeout }) };
}

export function readVerdicts(elements: Json | undefined): NftMap {
  const verdicts = new Map<string, Json>();
  const comments = new Map<string, string>();
  for (const element of isList(elements) ? elements : []) {
    const [key = null, verdict = null] = isList(element) ? element : [];
    const text = valueText(key);
    if (text === undefined) continue;
    verdicts.set(text, verdict);
    if (isObject(key) && isObject(key.elem) && typeof key.elem.comment === 'string')
      comments.set(text, key.elem.comment);
  }
  return { verdicts, comments };
}

/** @throws SyntaxError when the text is no JSON; what does not belong there is passed over. */
export function readNftables(text: string): NftTable {
  const document = JSON.parse(text) as Json;
  const chains = new Map<string, NftChain>();
  const sets = new Map<string, NftSet>();
  const maps = new Map<string, NftMap>();
  const items = isObject(document) && isList(document.nftables) ? document.nftables : [];
  for (const item of items) {
    if (!isObject(item)) continue;
    const { chain, rule, set, map } = item;
    if (isObject(chain) && typeof chain.name === 'string') {
      chains.set(chain.name, {
        name: chain.name,
        ...(typeof chain.hook === 'string' && { hook: chain.hook }),
        ...(typeof chain.type === 'string' && { type: chain.type }),
        priority: Number(chain.prio ?? 0) || 0,
        rules: chains.get(chain.name)?.rules ?? [],
      });
    } else if (isObject(rule) && typeof rule.chain === 'string' && isList(rule.expr)) {
      const known = chains.get(rule.chain) ?? { name: rule.chain, priority: 0, rules: [] };
      known.rules.push(rule.expr);
      chains.set(rule.chain, known);
    } else if (isObject(set) && typeof set.name === 'string')
      sets.set(set.name, readElements(set.elem, typeof set.timeout === 'number' ? set.timeout : undefined));
    else if (isObject(map) && typeof map.name === 'string') maps.set(map.name, readVerdicts(map.elem));
  }
  return { chains, sets, maps };
}
