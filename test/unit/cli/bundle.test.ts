import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createAddressReplacer, withoutSecrets } from '../../../src/cli/redact.ts';
import { writeReport } from '../../../src/model/agent-report.ts';
import { appendRecord } from '../../../src/model/history-ring.ts';
import { createMaps, kernelWith, putFlow, putFrontend, putName, putSlot, sluice } from './fake-kernel.ts';

const JWT = 'eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlIn0.c2lnbmF0dXJl';

/** Runs it in a directory of its own and unpacks what it made. */
async function bundle(...words: string[]) {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-bundle-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const configuration = join(directory, 'config.yaml');
  writeFileSync(configuration, `clientConnection:\n  token: ${JWT}\n  other: kept 10.96.0.1\n`);
  const log = join(directory, 'agent.log');
  writeFileSync(log, `{"msg":"Authorization: Bearer abcdefghijklmnop"}\n{"msg":"password=hunter2, tried"}\n`);
  const maps = createMaps();
  putName(maps, 1, 'shop/web', 'http');
  putFrontend(maps, {}, { internalBase: 1, internalCount: 1, externalBase: 1, externalCount: 1 });
  putSlot(maps, 1, {});
  for (let sport = 1; sport <= 5; sport++) putFlow(maps.flows, { sport }, {});
  appendRecord(maps.history.view, { kind: 'start', at: 1, version: '1', node: 'n' });
  writeReport(maps.report.view, {
    configurationFile: configuration,
    problems: [],
    configuration: [],
    serviceCidrs: [],
    healthz: '127.0.0.1:1',
  } as never);
  const file = join(directory, 'out.tar.gz');
  const outcome = await sluice(['bundle', '--file', file, '--log', log, '--flows', '2', ...words], kernelWith(maps), {
    now: () => Date.parse('2026-05-01T10:37:00Z'),
  });
  expect(outcome).toMatchObject({ code: 0, out: `${file}\n`, err: '' });
  execFileSync('tar', ['-xzf', file, '-C', directory]);
  const inside = join(directory, 'sluice-bundle-node-a.example-20260501T103700Z');
  return { file, inside, read: (name: string) => readFileSync(join(inside, name), 'utf8') };
}

test('bundle: an archive that tar reads, for its owner alone, with all that is asked for', async () => {
  const { file, inside, read } = await bundle();
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const files = execFileSync('find', [inside, '-type', 'f', '-printf', '%P\n'], { encoding: 'utf8' })
    .trim()
    .split('\n');
  for (const name of ['status', 'services', 'backends', 'problems', 'drops', 'flows', 'sockets', 'events', 'version'])
    expect(JSON.parse(read(`${name}.json`))).toBeTypeOf('object');
  expect(files).toEqual(
    expect.arrayContaining(['README.txt', 'agent.log', 'configuration.yaml', 'maps/devices.json', 'status.txt']),
  );
  expect(JSON.parse(read('services.json')).items).toMatchObject([{ name: 'web', address: '10.96.0.1' }]);
  expect(JSON.parse(read('flows.json')).items).toHaveLength(2);
  expect(JSON.parse(read('events.json')).items).toHaveLength(1);
  expect(JSON.parse(read('status.json'))).toHaveProperty('features');
  expect(read('README.txt')).toMatch(/^flows\.json {2}\d+ bytes$/m);
});

test('bundle: secrets are removed wherever they stand', async () => {
  const { read } = await bundle();
  expect(read('configuration.yaml')).toBe('clientConnection:\n  token: (token removed)\n  other: kept 10.96.0.1\n');
  const lines = read('agent.log')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).msg);
  expect(lines).toEqual(['Authorization: Bearer (token removed)', 'password=(removed), tried']);
});

test('bundle --replace-addresses: others stand for them, the same for the same one throughout', async () => {
  const { read, inside } = await bundle('--replace-addresses');
  const [service] = JSON.parse(read('services.json')).items as { address: string }[];
  expect(service?.address).toMatch(/^24\d\./);
  expect(read('configuration.yaml')).toContain(`kept ${service?.address}`);
  expect(() => execFileSync('grep', ['-rE', '10\\.96\\.0\\.1|192\\.0\\.2\\.9', inside])).toThrow();
});

test('bundle does not write over a file; without maps it says what it could not read', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-bundle-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'taken');
  writeFileSync(file, 'mine');
  expect(await sluice(['bundle', '--file', file])).toMatchObject({ code: 1, err: expect.stringContaining('EEXIST') });
  expect(readFileSync(file, 'utf8')).toBe('mine');
  const openMaps = () => {
    throw new Error('no maps here');
  };
  const other = join(directory, 'other');
  expect(await sluice(['bundle', '--file', other], { openMaps })).toMatchObject({ code: 0 });
  execFileSync('tar', ['-xzf', other, '-C', directory, '--strip-components=1']);
  expect(readFileSync(join(directory, 'errors.txt'), 'utf8')).toMatch(/^services\.json: sluice: no maps here/m);
});

test.each([
  ['{"token": "a\\"b", "x": 1}', '{"token": "(removed)", "x": 1}'],
  ["client-key-data: LS0tLS1\nnext: 'kept'", "client-key-data: (removed)\nnext: 'kept'"],
  ['{"msg":"{\\"token\\":\\"abc\\"}"}', '{"msg":"{\\"token\\":\\"(removed)\\"}"}'],
  ['-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nrest', '(private key removed)\nrest'],
  ['private-key: -----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----', 'private-key: (private key removed)'],
  ['-----BEGIN PRIVATE KEY-----\ncut off', '(private key removed)'],
  ['https://me:hunter2@example.org/x', 'https://(removed)@example.org/x'],
  [`x ${JWT} y`, 'x (token removed) y'],
  ['{"name":"token-server","port":80}', '{"name":"token-server","port":80}'],
])('withoutSecrets(%j)', (text, clean) => {
  expect(withoutSecrets(text)).toBe(clean);
});

test('hostile texts take no time', () => {
  const began = performance.now();
  for (const text of [
    'a',
    'eyJ',
    'eyJaaaaaaaa-',
    'token',
    'token ',
    '://a:',
    '1.',
    ':',
    'a:',
    '-----BEGIN PRIVATE KEY-----',
  ]) {
    const long = text.repeat(200_000 / text.length);
    createAddressReplacer()(withoutSecrets(long));
  }
  expect(performance.now() - began).toBeLessThan(10_000);
});

test('addresses of both families and of cards; not versions, times or names', () => {
  const replace = createAddressReplacer();
  expect(replace('10.0.0.1 fd00::1 10.0.0.1/24 [fd00::1]:80 02:00:00:00:01:fe')).toBe(
    '240.0.0.1 2001:db8:ffff::1 240.0.0.1/24 [2001:db8:ffff::1]:80 02:ff:ff:00:00:01',
  );
  const kept = '0.0.0.0:10256 127.0.0.1 ::1 [::]:30053 v1.2.3 10:37:02 2026-05-01T10:37:02.040Z a.b.c 1.2.3.4.5';
  expect(replace(kept)).toBe(kept);
});
