/** Reads a KubeProxyConfiguration as kube-proxy does, strictly. */
import { readFileSync } from 'node:fs';
import { parseDocument } from 'yaml';
import type { z } from 'zod';
import type { Configuration, ConfigurationNote } from '../model/configuration.ts';
import { SluiceError } from '../model/errors.ts';
import { notesOf } from './notes.ts';
import { resolve } from './resolve.ts';
import { kubeProxyConfiguration } from './schema.ts';

export interface LoadedConfiguration {
  readonly configuration: Configuration;
  /** One for each key that the file writes. */
  readonly notes: readonly ConfigurationNote[];
}

/**
 * @param file path of the YAML or JSON file; undefined: all defaults.
 * @throws SluiceError CONFIG_INVALID that names the file and the key.
 */
export function loadConfiguration(file: string | undefined): LoadedConfiguration {
  if (file === undefined) return { configuration: resolve({}, failIn('defaults')), notes: [] };
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new SluiceError('CONFIG_INVALID', `read configuration ${file}: ${(cause as Error).message}`, { cause });
  }
  return parseConfiguration(text, file);
}

/** @param origin what to call the text in errors, usually its path. */
export function parseConfiguration(text: string, origin: string): LoadedConfiguration {
  const yaml = parseDocument(text);
  const [error] = yaml.errors;
  if (error) {
    // The first line says what and where; the others draw it.
    const what = error.message.split('\n')[0]?.replace(/:$/, '');
    throw new SluiceError('CONFIG_INVALID', `read configuration ${origin}: ${what}`, { cause: error });
  }
  const document: unknown = yaml.toJS();
  const parsed = kubeProxyConfiguration.safeParse(document);
  const fail = failIn(origin);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    if (issue === undefined) throw parsed.error;
    return fail(keyOf(issue), messageOf(issue));
  }
  return { configuration: resolve(parsed.data, fail), notes: notesOf(document as Record<string, unknown>) };
}

function failIn(origin: string): (key: string, message: string) => never {
  return (key, message) => {
    throw new SluiceError('CONFIG_INVALID', `read configuration ${origin}: ${key === '' ? 'it' : key} ${message}`);
  };
}

type Issue = z.core.$ZodIssue;

function keyOf(issue: Issue): string {
  const path = issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : issue.path;
  return path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`,
    '',
  );
}

function messageOf(issue: Issue): string {
  switch (issue.code) {
    case 'unrecognized_keys':
      return "is no key of kube-proxy 1.36's KubeProxyConfiguration; remove it or correct its spelling";
    case 'invalid_value':
      return `must be ${issue.values.map(String).join(' or ')}`;
    case 'custom':
      return issue.message;
    default:
      return `has a wrong value: ${issue.message}`;
  }
}
