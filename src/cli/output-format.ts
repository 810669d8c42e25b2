/** The word behind `-o`, as kubectl has it. */
import { InvalidArgumentError } from 'commander';
import { type JsonPath, parseJsonPath } from './jsonpath.ts';

export interface CustomColumn {
  readonly header: string;
  readonly path: JsonPath;
}

export type OutputFormat =
  | { readonly kind: 'table' | 'wide' | 'json' | 'yaml' | 'name' }
  | { readonly kind: 'jsonpath'; readonly path: JsonPath }
  | { readonly kind: 'custom-columns'; readonly columns: readonly CustomColumn[] };

export const TABLE: OutputFormat = { kind: 'table' };
const OBJECT_WORDS = ['table', 'wide', 'json', 'yaml'] as const;
const LIST_WORDS = [...OBJECT_WORDS, 'name'] as const;

/** @param list whether rows are printed: then they have names and columns. @throws InvalidArgumentError */
export function parseOutputFormat(text: string, list: boolean): OutputFormat {
  const at = text.indexOf('=');
  const word = (at < 0 ? text : text.slice(0, at)).toLowerCase();
  const rest = at < 0 ? '' : text.slice(at + 1);
  const plain = (list ? LIST_WORDS : OBJECT_WORDS).find((known) => known === word);
  if (plain !== undefined && at < 0) return { kind: plain };
  if (word === 'jsonpath') {
    if (rest === '') throw new InvalidArgumentError("Give a template, e.g. -o jsonpath='{.items[*].name}'.");
    return { kind: 'jsonpath', path: pathOf(rest) };
  }
  if (list && word === 'custom-columns') return { kind: 'custom-columns', columns: parseColumns(rest) };
  const words = [...(list ? LIST_WORDS : OBJECT_WORDS), 'jsonpath=…', ...(list ? ['custom-columns=…'] : [])];
  throw new InvalidArgumentError(`Allowed choices are ${words.join(', ')}.`);
}

function parseColumns(text: string): CustomColumn[] {
  return text.split(/,(?![^[]*\])/).map((column) => {
    const [, header = '', path = ''] = /^([^:]+):(.+)$/.exec(column) ?? [];
    if (path === '') throw new InvalidArgumentError('Give columns, e.g. -o custom-columns=NAME:.name,PORT:.port.');
    const braced = path.startsWith('{') ? path : `{${path.startsWith('.') || path.startsWith('[') ? '' : '.'}${path}}`;
    return { header, path: pathOf(braced) };
  });
}

function pathOf(text: string): JsonPath {
  try {
    return parseJsonPath(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}
