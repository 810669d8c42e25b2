/** The documents of a configuration file, and which of their keys come twice. */
import { type Document, isAlias, isMap, isScalar, isSeq, parseAllDocuments } from 'yaml';
import { GO_YAML } from './go-yaml.ts';

export interface Yaml11Document {
  /** As JSON would hold it; null for an empty document. */
  readonly value: unknown;
  /** Paths of the keys that a mapping holds more than once; the last value is the one that counts. */
  readonly duplicates: readonly string[];
  /** What makes it no YAML: one line with its place. */
  readonly error: string | undefined;
}

/** @returns the documents of a text; a byte-order mark and CRLF are passed over. */
export function readYaml11(text: string): Yaml11Document[] {
  const documents = parseAllDocuments(text, GO_YAML);
  return Array.isArray(documents) ? documents.map(read) : [];
}

function read(document: Document.Parsed): Yaml11Document {
  // The first line says what and where; the others draw it.
  const error = document.errors[0]?.message.split('\n')[0]?.replace(/:$/, '');
  if (error !== undefined) return { value: undefined, duplicates: [], error };
  try {
    return { value: document.toJS(), duplicates: duplicatesIn(document.contents, ''), error: undefined };
  } catch (cause) {
    // An alias without its anchor, or too many aliases.
    return { value: undefined, duplicates: [], error: (cause as Error).message };
  }
}

function duplicatesIn(node: unknown, path: string): string[] {
  if (isSeq(node)) return node.items.flatMap((item, i) => duplicatesIn(item, `${path}[${i}]`));
  if (!isMap(node)) return [];
  const seen = new Set<string>();
  return node.items.flatMap(({ key, value }) => {
    const name = isScalar(key) ? String(key.value) : String(key);
    const inner = path === '' ? name : `${path}.${name}`;
    const again = seen.has(name) && name !== '<<';
    seen.add(name);
    return [...(again ? [inner] : []), ...(isAlias(value) ? [] : duplicatesIn(value, inner))];
  });
}
