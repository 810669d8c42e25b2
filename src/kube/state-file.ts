/**
 * A file of objects, for a start without an API server: a line of JSON each, between a line that says what it is and one
 * with the SHA-256 of all before it. For this user alone, because its content is believed.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';

const FORMAT = 1;
/** A file that is longer is not read. */
const MAX_BYTES = 512 * 1024 * 1024;
/** Lines that are made between two turns of the event loop. */
const LINES_A_TURN = 100;

export interface StateHeader {
  /** Name of the Node object of whom this was. */
  readonly node: string;
  /** RFC 3339 */
  readonly saved: string;
  /** URL of the API server that it came from. */
  readonly server: string;
}

export interface State {
  readonly header: StateHeader;
  readonly lines: readonly unknown[];
}

/** Writes the file anew, whole or not at all. @throws Error of the file system */
export async function writeState(path: string, header: StateHeader, lines: Iterable<unknown>): Promise<void> {
  const fresh = `${path}.new`;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await rm(fresh, { force: true });
  const file = await open(fresh, 'wx', 0o600);
  const hash = createHash('sha256');
  const put = async (text: string) => {
    hash.update(text);
    await file.write(text);
  };
  try {
    let text = `${JSON.stringify({ format: FORMAT, ...header })}\n`;
    let count = 0;
    for (const line of lines) {
      text += `${JSON.stringify(line)}\n`;
      if (++count % LINES_A_TURN !== 0) continue;
      await put(text);
      text = '';
      await nextTurn();
    }
    await put(text);
    await file.write(`${hash.digest('hex')}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(fresh, path);
}

/** @returns undefined when there is no file. @throws Error that says why it is not believed */
export async function readState(path: string): Promise<State | undefined> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const { uid, mode, size } = await file.stat();
    if (uid !== process.geteuid?.()) throw new Error(`user ${uid} made it`);
    if ((mode & 0o077) !== 0) throw new Error('others may read or write it');
    if (size > MAX_BYTES) throw new Error(`it is longer than ${MAX_BYTES} bytes`);
    return parse(await readFile(file));
  } finally {
    await file.close();
  }
}

function parse(bytes: Buffer): State {
  const end = bytes.lastIndexOf('\n', -2) + 1;
  const sum = createHash('sha256').update(bytes.subarray(0, end)).digest('hex');
  if (bytes.toString('utf8', end).trim() !== sum) throw new Error('its checksum is wrong');
  const [first = '', ...rest] = bytes.toString('utf8', 0, end).trimEnd().split('\n');
  const { format, ...header } = JSON.parse(first) as StateHeader & { format: number };
  if (format !== FORMAT) throw new Error(`its format is ${format}, not ${FORMAT}`);
  return { header, lines: rest.map((line): unknown => JSON.parse(line)) };
}
