/** A failing case as YAML that can be read and replayed. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { Case } from './case.ts';
import type { Failure } from './run/run-case.ts';

export function caseText(given: Case, failure: Failure): string {
  const { what, expected, got } = failure;
  return stringify({ what, expected, got, ...given }, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** @returns the path of the file. */
export function writeCase(directory: string, name: string, text: string): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${name}.yaml`);
  writeFileSync(path, text);
  return path;
}

export function readCase(path: string): Case {
  const { configuration = {}, socketLb = 'all', actions = [] } = parse(readFileSync(path, 'utf8')) as Partial<Case>;
  return { configuration, socketLb, actions };
}
