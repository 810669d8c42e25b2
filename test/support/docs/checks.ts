/** Weaker checks of commands that are not run: that what they name is there, and can be called so. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { KUBE_PROXY_FLAGS } from '../../../src/config/flags.ts';
import { CHART, haveKustomize } from '../deploy/manifests.ts';
import { flagNames } from './reference/flags.ts';
import { REPOSITORY } from './repository.ts';

/** @returns what is wrong, or undefined. */
type Check = (words: readonly string[], line: string) => string | undefined;

const there = (path: string) => (existsSync(join(REPOSITORY, path)) ? undefined : `${path} is not there`);
const makefile = readFileSync(join(REPOSITORY, 'Makefile'), 'utf8');

/** Programs of others: what they are given is theirs to check, and needs a machine or a cluster. */
const foreign: Check = () => undefined;

const CHECKS: Readonly<Record<string, Check>> = {
  make: ([target = '']) =>
    new RegExp(`^${target}:`, 'm').test(makefile) ? undefined : `the Makefile has no target ${target}`,
  npx: ([runner, ...words]) => (runner === 'vitest' ? vitest(words) : `npx ${runner} is not known here`),
  npm: ([run, script = '']) =>
    run === 'run' && JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')).scripts[script]
      ? undefined
      : `package.json has no script ${script}`,
  sluice: (words) => {
    const names = flagNames();
    const wrong = words
      .filter((word) => word.startsWith('--'))
      .map((word) => word.split('=')[0] ?? '')
      .find((flag) => !names.has(flag) && !Object.hasOwn(KUBE_PROXY_FLAGS, flag.slice(2)));
    return wrong === undefined ? undefined : `sluice has no flag ${wrong}`;
  },
  kubectl: (words) => {
    const directory = words[words.indexOf('-k') + 1] ?? '';
    if (!words.includes('-k')) return undefined;
    if (haveKustomize) execFileSync('kubectl', ['kustomize', join(REPOSITORY, directory)]);
    return there(join(directory, 'kustomization.yaml'));
  },
  helm: (_, line) => {
    const values = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8'));
    const keys = [...line.matchAll(/--set(?:-string)? '?([\w.]+)=/g)].map(([, key = '']) => key);
    return keys.find((key) => key.split('.').reduce((at, part) => at?.[part], values) === undefined);
  },
  docker: (words) => (words[0] === 'build' ? there('Dockerfile') : undefined),
  cat: foreign,
  kubeadm: foreign,
  nsenter: foreign,
  systemctl: foreign,
  tcpdump: foreign,
  curl: foreign,
};

function vitest(words: readonly string[]): string | undefined {
  const path = words.find((word) => word.startsWith('test/'));
  return path === undefined ? undefined : there(path);
}

/** @param line a simple command @returns what is wrong with it, or undefined */
export function checkCommand(line: string): string | undefined {
  const [program = '', ...words] = line.split(/\s+/);
  const check = CHECKS[program.replace(/^bin\//, '')];
  return check === undefined ? `nobody checks ${program}: see test/support/docs/checks.ts` : check(words, line);
}
