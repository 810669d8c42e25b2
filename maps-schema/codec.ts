/** What the generated codecs look like. */

/** Reads and writes one struct of the schema at a byte offset of a buffer. */
export interface Codec<T> {
  /** Name of the struct in C. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** @throws RangeError when a number does not fit its field or the buffer is too short. */
  write(buffer: Buffer, offset: number, value: T): void;
  read(buffer: Buffer, offset: number): T;
}

/** What user space must know of a map to open and use it. */
export interface MapShape {
  readonly name: string;
  readonly type: 'HASH' | 'LRU_HASH' | 'ARRAY' | 'PERCPU_ARRAY' | 'LPM_TRIE' | 'RINGBUF';
  /** Bytes. */
  readonly keySize: number;
  /** Bytes, per CPU for PERCPU_ARRAY. */
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly mmapable: boolean;
  /** True when the data path writes rows of it: the agent then only reads and deletes. */
  readonly writtenByDataPath: boolean;
}

/** @returns a fresh buffer that holds the encoded value. */
export function encode<T>(codec: Codec<T>, value: T): Buffer {
  const buffer = Buffer.alloc(codec.size);
  codec.write(buffer, 0, value);
  return buffer;
}

/** Writes text padded with zero bytes. @throws RangeError when it does not fit. */
export function writeText(buffer: Buffer, offset: number, size: number, text: string): void {
  if (Buffer.byteLength(text) > size) throw new RangeError(`text of more than ${size} bytes: ${text.slice(0, 80)}`);
  const written = buffer.write(text, offset, size, 'utf8');
  buffer.fill(0, offset + written, offset + size);
}

/** Reads text up to the first zero byte. */
export function readText(buffer: Buffer, offset: number, size: number): string {
  const end = buffer.indexOf(0, offset);
  return buffer.toString('utf8', offset, end < 0 || end > offset + size ? offset + size : end);
}
