/**
 * Reads a KubeProxyConfiguration as kube-proxy 1.36 does: strictly, and when only keys are at
 * fault that nobody knows or that are written twice, without them and with a warning.
 */
import { readFileSync } from 'node:fs';
import type { z } from 'zod';
import type { Configuration, ConfigurationNote } from '../model/configuration.ts';
import { SluiceError } from '../model/errors.ts';
import { readYaml11 } from '../model/yaml11.ts';
import { notesOf } from './notes.ts';
import { resolve } from './resolve.ts';
import { kubeProxyConfiguration } from './schema.ts';

export interface LoadedConfiguration {
  readonly configuration: Configuration;
  /** One for each key that the file writes. */
  readonly notes: readonly ConfigurationNote[];
  /** For the log: what was passed over, and where kube-proxy would have refused. */
  readonly warnings: readonly string[];
}

export interface LoadOptions {
  /** A key that is not known or written twice is an error. */
  readonly strict?: boolean;
  /** What to call a key in errors; for documents that were not written as such. */
  readonly nameOf?: (key: string) => string;
  /** Sets what overrides the document. */
  readonly complete?: (document: object) => void;
}

/**
 * @param file path of the YAML or JSON file; undefined: all defaults.
 * @throws SluiceError CONFIG_INVALID that names the file and the key.
 */
export function loadConfiguration(file: string | undefined, options: LoadOptions = {}): LoadedConfiguration {
  if (file === undefined) return { configuration: resolve({}, failIn('defaults')), notes: [], warnings: [] };
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new SluiceError('CONFIG_INVALID', `read configuration ${file}: ${(cause as Error).message}`, { cause });
  }
  return parseConfiguration(text, file, options);
}

/** Of several documents the first counts. @param origin what to call the text in errors, usually its path. */
export function parseConfiguration(text: string, origin: string, options: LoadOptions = {}): LoadedConfiguration {
  const [first] = readYaml11(text);
  if (first?.error !== undefined) {
    throw new SluiceError('CONFIG_INVALID', `read configuration ${origin}: ${first.error}`);
  }
  return takeConfiguration(first?.value ?? null, origin, first?.duplicates ?? [], options);
}

/** @param document the configuration as JSON holds it. @param duplicates keys that its text wrote twice. */
export function takeConfiguration(
  document: unknown,
  origin: string,
  duplicates: readonly string[] = [],
  { strict = false, nameOf = (key) => key, complete }: LoadOptions = {},
): LoadedConfiguration {
  const fail = failIn(origin, nameOf);
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    return fail('', 'holds no KubeProxyConfiguration: the first document is empty, or no mapping of keys');
  }
  const { unknown, known } = withoutUnknown(document);
  complete?.(known);
  const parsed = kubeProxyConfiguration.safeParse(known);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    if (issue === undefined) throw parsed.error;
    return fail(keyOf(issue.path), messageOf(issue));
  }
  const passedOver = [
    ...(unknown.length > 0 ? [`kube-proxy 1.36 knows no ${unknown.join(', ')}: not read`] : []),
    ...(duplicates.length > 0 ? [`written more than once, the last counts: ${duplicates.join(', ')}`] : []),
  ].join('; ');
  if (passedOver !== '' && strict) {
    throw new SluiceError('CONFIG_INVALID', `read configuration ${origin}: ${passedOver} (--strict-config)`);
  }
  return {
    configuration: resolve(parsed.data, fail),
    notes: notesOf(known as Record<string, unknown>),
    warnings: [
      ...(passedOver === '' ? [] : [`configuration ${origin}: ${passedOver}`]),
      ...(parsed.data.nodePortAddresses?.[0] === 'all'
        ? [
            `configuration ${origin}: nodePortAddresses: [all] is read here, kube-proxy refuses it; it reads [0.0.0.0/0]`,
          ]
        : []),
    ],
  };
}

/** @returns all paths that the schema does not have, and the document without them. */
function withoutUnknown(document: object): { readonly unknown: string[]; readonly known: object } {
  const known = structuredClone(document);
  const issues = kubeProxyConfiguration.safeParse(known).error?.issues ?? [];
  const unknown = issues.flatMap((issue) => {
    if (issue.code !== 'unrecognized_keys') return [];
    const parent = issue.path.reduce((value, part) => (value as Record<PropertyKey, unknown>)[part], known as unknown);
    for (const key of issue.keys) delete (parent as Record<string, unknown>)[key];
    return issue.keys.map((key) => keyOf([...issue.path, key]));
  });
  return { unknown, known };
}

function failIn(origin: string, nameOf = (key: string) => key): (key: string, message: string) => never {
  return (key, message) => {
    const what = key === '' ? 'it' : nameOf(key);
    throw new SluiceError('CONFIG_INVALID', `read configuration ${origin}: ${what} ${message}`);
  };
}

type Issue = z.core.$ZodIssue;

function keyOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`,
    '',
  );
}

function messageOf(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_value':
      return `must be ${issue.values.map(String).join(' or ')}`;
    case 'custom':
      return issue.message;
    default:
      return issue.message.startsWith('is ') ? issue.message : `has a wrong value: ${issue.message}`;
  }
}
