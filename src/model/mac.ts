/** Ethernet addresses as text, e.g. `0a:58:0a:f4:01:02`. */

export function writeMac(buffer: Buffer, offset: number, mac: string): void {
  const bytes = mac.split(':');
  for (let i = 0; i < 6; i++) buffer[offset + i] = Number.parseInt(bytes[i] ?? '0', 16);
}

export function readMac(buffer: Buffer, offset: number): string {
  return Array.from(buffer.subarray(offset, offset + 6), (b) => b.toString(16).padStart(2, '0')).join(':');
}
