/** Values of the maps as people write them. */
import { type Address, familyOf } from '../model/address.ts';
import { PROTOCOL_NUMBERS } from '../model/compiled.ts';

const PROTOCOLS = new Map<number, string>(Object.entries(PROTOCOL_NUMBERS).map(([name, number]) => [number, name]));

/** @returns e.g. `TCP`; the number where it has no name. */
export function protocolName(proto: number): string {
  return PROTOCOLS.get(proto) ?? String(proto);
}

/** @returns e.g. `10.0.0.1:80` or `[fd00::1]:80`. */
export function endpoint(address: Address, port: number): string {
  return familyOf(address) === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}

/** @param bits of the 16-byte address, an IPv4 one mapped @returns e.g. `10.0.0.0/8` */
export function networkText(address: Address, bits: number): string {
  return `${address}/${familyOf(address) === 'IPv4' ? bits - 96 : bits}`;
}

/** @returns e.g. `45s`, `3m10s`, `2h5m`, `4d3h`: the two greatest units, as kubectl prints ages. */
export function duration(seconds: number): string {
  const s = Math.floor(seconds);
  if (s < 120) return `${s}s`;
  const pair = (big: number, bigName: string, small: number, smallName: string) => {
    const rest = Math.floor((s % big) / small);
    return `${Math.floor(s / big)}${bigName}${rest === 0 ? '' : `${rest}${smallName}`}`;
  };
  if (s < 3600) return pair(60, 'm', 1, 's');
  if (s < 86_400) return pair(3600, 'h', 60, 'm');
  return pair(86_400, 'd', 3600, 'h');
}

/** @returns e.g. `<0.1%`, `0.4%`, `12%`; "" for a part of nothing. */
export function percent(part: number, whole: number): string {
  if (whole === 0) return '';
  const value = (100 * part) / whole;
  if (value > 0 && value < 0.1) return '<0.1%';
  return `${value > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)}%`;
}

/** The first comparison that tells two rows apart. */
export function compareBy<T>(...values: readonly ((row: T) => string | number)[]): (a: T, b: T) => number {
  return (a, b) => {
    for (const value of values) {
      const x = value(a);
      const y = value(b);
      if (x < y) return -1;
      if (x > y) return 1;
    }
    return 0;
  };
}
