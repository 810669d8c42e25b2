/** What turns one object into another, as a JSON patch (RFC 6902). */
import { isDeepStrictEqual } from 'node:util';

export interface Operation {
  readonly op: 'add' | 'remove' | 'replace';
  readonly path: string;
  readonly value?: unknown;
}

type Table = Readonly<Record<string, unknown>>;

const isTable = (value: unknown): value is Table =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const below = (path: string, key: string) => `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;

/** Lists of the same length are compared item by item; others are replaced as a whole. */
export function difference(from: unknown, to: unknown, path = ''): Operation[] {
  if (isDeepStrictEqual(from, to)) return [];
  if (Array.isArray(from) && Array.isArray(to) && from.length === to.length && from.every(isTable))
    return from.flatMap((item, i) => difference(item, to[i], below(path, String(i))));
  if (!isTable(from) || !isTable(to)) return [{ op: 'replace', path, value: to }];
  const removed = Object.keys(from).filter((key) => !(key in to));
  return [
    ...removed.map((key): Operation => ({ op: 'remove', path: below(path, key) })),
    ...Object.entries(to).flatMap(([key, value]): Operation[] =>
      key in from ? difference(from[key], value, below(path, key)) : [{ op: 'add', path: below(path, key), value }],
    ),
  ];
}
