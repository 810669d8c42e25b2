/** Writes a tar archive of small files, as POSIX.1-1988 (ustar) has it. */

export interface TarFile {
  /** At most 100 bytes. */
  readonly name: string;
  readonly text: string;
}

const BLOCK = 512;

/** @param seconds modification time of every file, since the epoch @throws RangeError for a name that is too long */
export function writeTar(files: readonly TarFile[], seconds: number): Buffer {
  const parts = files.flatMap(({ name, text }) => {
    const body = Buffer.from(text);
    return [header(name, body.length, seconds), body, Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK)];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

function header(name: string, size: number, seconds: number): Buffer {
  if (Buffer.byteLength(name) > 100) throw new RangeError(`name of more than 100 bytes: ${name}`);
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, offset: number, digits: number) =>
    block.write(`${Math.floor(value).toString(8).padStart(digits, '0')}\0`, offset, 'latin1');
  block.write(name, 0, 'utf8');
  octal(0o600, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(size, 124, 11);
  octal(seconds, 136, 11);
  block.write('        0', 148, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
