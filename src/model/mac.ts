/** Ethernet addresses as text, e.g. `0a:58:0a:f4:01:02`. */

export function writeMac(buffer: Buffer, offset: number, mac: string): void {
  const bytes = mac.split(':');
  for (let i = 0; i < 6; i++) buffer[offset + i] = Number.parseInt(bytes[i] ?? '0', 16);
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

export function readMac(buffer: Buffer, offset: number): string {
  let text = HEX[buffer[offset] ?? 0] ?? '';
  for (let i = 1; i < 6; i++) text += `:${HEX[buffer[offset + i] ?? 0]}`;
  return text;
}
