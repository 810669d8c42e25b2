/**
 * helm, as far as the pages use it: install, upgrade, rollback, uninstall and template of a chart in a directory. The chart is
 * rendered by tools/deploy/render with helm's engine; values that the chart does not have are refused.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Ajv } from 'ajv';
import { parse, parseAllDocuments, stringify } from 'yaml';

const text = { type: 'string' };
const flag = { type: 'boolean' };
const { positionals, values: options } = parseArgs({
  allowPositionals: true,
  options: {
    namespace: { ...text, short: 'n' },
    values: { ...text, short: 'f', multiple: true, default: [] },
    set: { ...text, multiple: true, default: [] },
    'set-string': { ...text, multiple: true, default: [] },
    'reuse-values': flag,
    install: flag,
    wait: flag,
    timeout: text,
  },
});
const [command, release, where] = positionals;
const DIRECTORY = '/var/lib/helm';
const file = join(DIRECTORY, `${release}.json`);
const history = () => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []);

function typed(value) {
  if (value.startsWith('{')) return value.slice(1, -1).split(',').map(typed);
  if (/^(true|false|null|-?\d+)$/.test(value)) return JSON.parse(value);
  return value;
}

function assign(values, pair, read) {
  const [path, value] = pair.split(/=(.*)/s);
  const keys = path.split('.');
  const last = keys.pop();
  let at = values;
  for (const key of keys) at = at[key] ??= {};
  at[last] = read(value);
}

function merge(into, from) {
  for (const [key, value] of Object.entries(from))
    if (value && into[key] && typeof value === 'object' && !Array.isArray(value)) merge(into[key], value);
    else into[key] = value;
  return into;
}

function given(before) {
  const values = before;
  for (const each of options.values) merge(values, parse(readFileSync(each, 'utf8')));
  for (const pair of options.set) assign(values, pair, typed);
  for (const pair of options['set-string']) assign(values, pair, String);
  return values;
}

function render(chart, values) {
  const whole = merge(parse(readFileSync(join(chart, 'values.yaml'), 'utf8')), structuredClone(values));
  const check = new Ajv({ strict: false }).compile(JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')));
  if (!check(whole))
    throw new Error(`values don't meet the specifications of the schema: ${JSON.stringify(check.errors)}`);
  mkdirSync(DIRECTORY, { recursive: true });
  const input = join(DIRECTORY, 'values.yaml');
  writeFileSync(input, stringify(values));
  return execFileSync(
    '/root/sluice/build/deploy/render',
    ['-name', release, '-namespace', options.namespace ?? 'default', '-values', input, chart],
    {
      encoding: 'utf8',
    },
  );
}

const kubectl = (args, input) => execFileSync('kubectl', args, { input, stdio: ['pipe', 'ignore', 'inherit'] });
const names = (manifest) =>
  parseAllDocuments(manifest).map((document) => {
    const { kind, metadata } = document.toJS();
    return { id: `${kind}/${metadata.name}`, namespace: metadata.namespace ?? 'default' };
  });

function remove(objects) {
  for (const { id, namespace } of objects) kubectl(['delete', id, '-n', namespace, '--ignore-not-found']);
}

function apply(revision) {
  const revisions = history();
  kubectl(['apply', '-f', '-'], revision.manifest);
  const now = new Set(names(revision.manifest).map(({ id }) => id));
  const last = revisions.at(-1);
  if (last !== undefined) remove(names(last.manifest).filter(({ id }) => !now.has(id)));
  writeFileSync(file, JSON.stringify([...revisions, revision]));
}

try {
  const last = history().at(-1);
  if (command === 'template') console.log(render(where, given({})));
  else if (command === 'install' || (command === 'upgrade' && options.install && last === undefined)) {
    if (last !== undefined) throw new Error('cannot reuse a name that is still in use');
    const values = given({});
    apply({ values, manifest: render(where, values) });
    console.log(`NAME: ${release}\nNAMESPACE: ${options.namespace}\nSTATUS: deployed\nREVISION: 1`);
  } else if (last === undefined) throw new Error(`"${release}" has no deployed releases`);
  else if (command === 'upgrade') {
    const values = given(options['reuse-values'] ? last.values : {});
    apply({ values, manifest: render(where, values) });
    console.log(`Release "${release}" has been upgraded. Happy Helming!`);
  } else if (command === 'rollback') {
    const revision = where === undefined ? history().at(-2) : history()[Number(where) - 1];
    if (revision === undefined) throw new Error('release has no such version');
    apply(revision);
    console.log('Rollback was a success! Happy Helming!');
  } else if (command === 'history') {
    console.log(
      history()
        .map((_, i) => `${i + 1}`)
        .join('\n'),
    );
  } else if (command === 'uninstall') {
    remove(names(last.manifest));
    rmSync(file);
    console.log(`release "${release}" uninstalled`);
  } else throw new Error(`unknown command "${command}" for "helm"`);
} catch (error) {
  console.error(`Error: ${error.message}`);
  process.exitCode = 1;
}
