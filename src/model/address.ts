/**
 * IP addresses. In TypeScript an address is its canonical text (RFC 5952; IPv4 dotted), so that
 * equal addresses are equal strings. In maps it is 16 bytes, IPv4 mapped as ::ffff:a.b.c.d.
 */
import { isIPv4, isIPv6 } from 'node:net';

/** Canonical text of an IPv4 or IPv6 address, as `parseAddress` returns it. */
export type Address = string;
export type Family = 'IPv4' | 'IPv6';

/** Zeros before the first digit of a group that matters. */
const LEADING_ZEROS = /(?<![0-9a-f])0+(?=[0-9a-f])/gi;

/**
 * Reads an address as kube-proxy does (netutils.ParseIPSloppy): leading zeros of a group say nothing, so `010.0.0.1`,
 * which objects of old clusters have, is 10.0.0.1 and not octal.
 * @returns the canonical text, a mapped address as IPv4; undefined when the text is no address (zones are refused)
 */
export function parseAddress(text: string): Address | undefined {
  return parseStrictly(text) ?? parseStrictly(text.replace(LEADING_ZEROS, ''));
}

function parseStrictly(text: string): Address | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const buffer = Buffer.alloc(16);
  writeIPv6(buffer, 0, text);
  return readAddress(buffer, 0);
}

export function familyOf(address: Address): Family {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}

function writeIPv4(buffer: Buffer, offset: number, text: string): void {
  let byte = 0;
  let at = offset;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 46) {
      buffer[at++] = byte;
      byte = 0;
    } else byte = byte * 10 + code - 48;
  }
  buffer[at] = byte;
}

function writeIPv6(buffer: Buffer, offset: number, text: string): void {
  buffer.fill(0, offset, offset + 16);
  const [head = '', tail] = text.split('::');
  const words = (part: string): number[] =>
    part === ''
      ? []
      : part.split(':').flatMap((word) => {
          if (!word.includes('.')) return [Number.parseInt(word, 16)];
          const [a = 0, b = 0, c = 0, d = 0] = word.split('.').map(Number);
          return [a * 256 + b, c * 256 + d];
        });
  const before = words(head);
  const after = tail === undefined ? [] : words(tail);
  before.forEach((word, i) => {
    buffer.writeUInt16BE(word, offset + 2 * i);
  });
  after.forEach((word, i) => {
    buffer.writeUInt16BE(word, offset + 16 - 2 * (after.length - i));
  });
}

/** Writes 16 bytes, network byte order, IPv4 mapped. The text must be canonical. */
export function writeAddress(buffer: Buffer, offset: number, address: Address): void {
  if (address.includes(':')) {
    writeIPv6(buffer, offset, address);
    return;
  }
  buffer.fill(0, offset, offset + 10);
  buffer[offset + 10] = 0xff;
  buffer[offset + 11] = 0xff;
  writeIPv4(buffer, offset + 12, address);
}

/** Reads 16 bytes; a mapped address comes back as IPv4. */
export function readAddress(buffer: Buffer, offset: number): Address {
  if (isMapped(buffer, offset)) {
    return `${buffer[offset + 12]}.${buffer[offset + 13]}.${buffer[offset + 14]}.${buffer[offset + 15]}`;
  }
  const words: number[] = [];
  for (let i = 0; i < 8; i++) words.push(buffer.readUInt16BE(offset + 2 * i));
  return formatIPv6(words);
}

function isMapped(buffer: Buffer, offset: number): boolean {
  for (let i = 0; i < 10; i++) if (buffer[offset + i] !== 0) return false;
  return buffer[offset + 10] === 0xff && buffer[offset + 11] === 0xff;
}

/** RFC 5952: the longest run of two or more zero words is written as `::`, the first one of equals. */
function formatIPv6(words: number[]): string {
  let best = { start: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && words[i + length] === 0) length++;
    if (length > best.length) best = { start: i, length };
    i += length;
  }
  const hex = (part: number[]) => part.map((w) => w.toString(16)).join(':');
  if (best.start < 0) return hex(words);
  return `${hex(words.slice(0, best.start))}::${hex(words.slice(best.start + best.length))}`;
}

/** @param address canonical @returns whether it is valid on one link only: 169.254.0.0/16 or fe80::/10. */
export function isLinkLocal(address: Address): boolean {
  return address.startsWith('169.254.') || /^fe[89ab][0-9a-f]:/.test(address);
}
