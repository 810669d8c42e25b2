/** What hands do that know kubectl: formats, filters, watching, completion. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { FRONTEND_CLUSTER_IP, FRONTEND_NODE_PORT } from '../../../maps-schema/gen/codecs.ts';
import { parseJsonPath } from '../../../src/cli/jsonpath.ts';
import { runCli } from '../../../src/cli/run.ts';
import { textSink } from '../../../src/cli/sink.ts';
import { createMaps, type FakeMaps, kernelWith, putFrontend, putName, sluice } from './fake-kernel.ts';

function shop(): FakeMaps {
  const maps = createMaps();
  putName(maps, 1, 'shop/web', 'http');
  putName(maps, 2, 'data/db');
  putFrontend(maps, {}, { servicePortId: 1, flags: FRONTEND_CLUSTER_IP });
  putFrontend(maps, { address: '0.0.0.0', port: 30080 }, { servicePortId: 1, flags: FRONTEND_NODE_PORT });
  putFrontend(maps, { address: '10.96.0.2', port: 53, proto: 17 }, { servicePortId: 2, flags: FRONTEND_CLUSTER_IP });
  return maps;
}

const list = async (...words: string[]) => (await sluice(['service', ...words], kernelWith(shop()))).out;

test.each([
  [['-o', 'name'], 'data/db\nshop/web\n'],
  [['-A', '-o', 'NAME'], 'data/db\nshop/web\n'],
  [['list', 'shop/web', '-o', 'name'], 'shop/web\n'],
  [['-n', 'data', '-o', 'jsonpath={.items[*].frontendPort}'], '53\n'],
  [['-o', 'jsonpath={range .items[?(@.namespace=="shop")]}{.name}:{.frontendPort}{"\\n"}{end}'], 'web:80\nweb:30080\n'],
  [
    ['-o', 'custom-columns=NAME:.name,WHAT:.types[0],NO:.nothing', '--no-headers'],
    'db     ClusterIP   <none>\nweb    ClusterIP   <none>\nweb    NodePort    <none>\n',
  ],
  [['-o', 'Custom-Columns=N:{.name}', '-n', 'data'], 'N\ndb\n'],
  [['-l', 'types=NodePort', '-o', 'name'], 'shop/web\n'],
  [['-l', 'namespace!=shop,PROTOCOL==UDP', '-o', 'name'], 'data/db\n'],
  [
    ['web', '--no-headers', '-l', 'types=NodePort'],
    'shop        web    http   NodePort   0.0.0.0:30080/TCP   0          -\n',
  ],
])('sluice service %j', async (words, out) => {
  expect(await list(...words)).toBe(out);
});

test('-o JSON in any case', async () => {
  expect(JSON.parse(await list('-o', 'JSON')).items).toHaveLength(3);
  expect(await list('-o', 'YAML')).toMatch(/^items:\n/);
});

test.each([
  [['-l', 'app=web'], /there is no field 'app'; there are namespace, .* Labels .*kubectl get service -l app=web/],
  [['-l', 'app'], /'app' is no term/],
  [['-o', 'xml'], /Allowed choices are table, wide, json, yaml, name, jsonpath=…, custom-columns=…\./],
  [['-o', 'jsonpath={.a'], /has a brace without its other one/],
  [['-o', 'jsonpath={range .a}'], /\{range\} is without its \{end\}/],
  [['-o', 'jsonpath={.a[x]}'], /'\[x\]' is not known/],
  [['-o', 'custom-columns=NAME'], /Give columns/],
])('sluice service %j is wrong usage', async (words, message) => {
  const { code, err } = await sluice(['service', ...words], kernelWith(shop()));
  expect(code).toBe(2);
  expect(err).toMatch(message);
});

const value = { a: [{ n: 1, s: 'x y' }, { n: 2, s: 'z', 'k.v': true }, { n: 3 }], b: { c: null, d: { n: 9 } } };
test.each([
  ['{.a[0].n}', '1'],
  ['{$.a[-1].n}', '3'],
  ['{.a[-2:].n}', '2 3'],
  ['{.a[0:3:2].n}', '1 3'],
  ['{.a[0,2].n}', '1 3'],
  ['{..n}', '1 2 3 9'],
  ['{.a[*].s}', 'x y z'],
  ['{.a[1].k\\.v}', 'true'],
  ["{.a[1]['k.v']}", 'true'],
  ["{.a[1]['n','s']}", '2 z'],
  ['{.a[?(@.s)].n}', '1 2'],
  ['{.a[?(@.n>=2)].n}', '2 3'],
  ["{.a[?(@.s=='x y')].n}", '1'],
  ['{.a[?(@.n != 2)].n}', '1 3'],
  ['{.b}', '{"c":null,"d":{"n":9}}'],
  ['{.b.c}|{.nothing.at.all}', '|'],
  ['n={.b.d.n}, {"{\\t}"}', 'n=9, {\t}'],
  ['{range .a[*]}[{.n}{range $.b.d.n}:{@}{end}]{end}', '[1:9][2:9][3:9]'],
])('JSONPath %s', (template, text) => {
  expect(parseJsonPath(template).render(value)).toBe(text);
});

test('-w prints what changes, and tells what is gone', async () => {
  const maps = shop();
  const out = textSink();
  const err = textSink();
  let rounds = 0;
  const code = await runCli(['service', '-w', '-n', 'shop'], {
    version: '1',
    runAgent: async () => 0,
    out,
    err,
    kernel: kernelWith(maps) as never,
    wait: async () => {
      if (rounds++ === 1) putFrontend(maps, {}, { servicePortId: 1, flags: FRONTEND_CLUSTER_IP, affinitySeconds: 9 });
      if (rounds === 3) for (const { key } of [...maps.frontends.entries()].slice(1, 2)) maps.frontends.delete(key);
      return rounds < 5;
    },
  });
  expect(code).toBe(0);
  const lines = out.text.trimEnd().split('\n');
  expect(lines).toHaveLength(4);
  expect(lines[0]).toMatch(/^NAMESPACE/);
  expect(lines[3]).toContain('affinity=9s');
  expect(err.text).toBe('gone: shop/web 0.0.0.0:30080/TCP\n');
});

test('columns are explained', async () => {
  for (const what of ['service', 'backend', 'flow']) {
    expect((await sluice([what, 'list', '--help'])).out).toMatch(/^Columns:$/m);
  }
});

test('no rule numbers and no letters to be guessed', async () => {
  for (const words of [['status', '-o', 'wide'], ['drops'], ['service', '-o', 'wide'], ['service', 'list', '--help']]) {
    const { out } = await sluice(words, kernelWith(shop()));
    expect(out).not.toMatch(/R-\d/);
  }
});

test('version', async () => {
  expect((await sluice(['version'])).out).toMatch(/^sluice: {2}1\.2\.3\nschema: {2}v\d+\nagent: {3}none ran here\n$/);
  expect(JSON.parse((await sluice(['version', '--client', '-o', 'json'])).out)).toMatchObject({ client: '1.2.3' });
});

test.each([
  [[''], ['agent', 'status', 'service', 'backend', 'flow', 'drops', 'cleanup', 'version', 'completion']],
  [['ser'], ['service']],
  [
    ['service', ''],
    ['list', 'problems', 'data/db', 'shop/web'],
  ],
  [['backend', 'list', 'sh'], ['shop/web']],
  [
    ['service', '-n', ''],
    ['data', 'shop'],
  ],
  [
    ['status', '-o', 'j'],
    ['json', 'jsonpath='],
  ],
  [['svc', '--no'], ['--no-headers']],
  [
    ['completion', ''],
    ['bash', 'zsh', 'fish'],
  ],
  [['agent', '--xdp', 'g'], ['generic']],
])('completion of %j', async (words, candidates) => {
  const { out } = await sluice(['__complete', '--', ...words], kernelWith(shop()));
  expect(out.split('\n').map((line) => line.split('\t')[0])).toEqual(expect.arrayContaining(candidates));
});

/** A `sluice` on the PATH that says what it was asked. */
function fakeSluice(): NodeJS.ProcessEnv {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-completion-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  writeFileSync(
    join(directory, 'sluice'),
    '#!/bin/sh\nprintf "%s|" "$@" >&2\nprintf "list\\tsay it\\nlisten\\t\\n"\n',
    { mode: 0o755 },
  );
  return { ...process.env, PATH: `${directory}:${process.env.PATH}` };
}

test("bash's script completes", async () => {
  const { out } = await sluice(['completion', 'bash']);
  const script = `${out}\nCOMP_WORDS=(sluice service li) COMP_CWORD=2\n_sluice\nprintf '%s\\n' "\${COMPREPLY[@]}"`;
  expect(execFileSync('bash', ['-c', script], { env: fakeSluice(), encoding: 'utf8' })).toBe('list\nlisten\n');
});

test.each(['zsh', 'fish'])("%s's script is one, where that shell is installed", async (shell) => {
  const { out } = await sluice(['completion', shell]);
  expect(out).toContain('sluice __complete --');
  const { error, status } = spawnSync(shell, ['-n'], { input: out });
  if (error === undefined) expect(status).toBe(0);
});
