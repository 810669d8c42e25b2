import { expect, test } from 'vitest';
import { writeReport } from '../../../src/model/agent-report.ts';
import { SluiceError } from '../../../src/model/errors.ts';
import type { Verified, VerifyRequest } from '../../../src/verify/verify.ts';
import { createMaps, kernelWith, sluice } from './fake-kernel.ts';

const EQUAL: Verified = {
  node: 'n1',
  findings: [],
  services: 3,
  rows: 40,
  attachments: 20,
  settings: true,
  refused: new Map(),
};
const FINDINGS = [
  { kind: 'missing', object: 'shop/web', where: 'frontends', row: '10.96.0.1:80/TCP', is: '', shouldBe: 'shop/web:' },
  { kind: 'different', object: 'n1', where: 'settings', row: 'xdpMtu', is: '0', shouldBe: '1500' },
] as const;

function mapsTold(options: object | undefined) {
  const maps = createMaps();
  writeReport(maps.report.view, {
    version: '1',
    node: 'n1',
    pid: 1,
    started: '',
    configurationFile: null,
    configuration: [],
    ...(options && { options }),
    serviceCidrs: null,
    healthz: '',
    problems: [{ kind: 'Service', namespace: 'shop', name: 'web', field: 'spec', message: 'no room' }],
    moreProblems: 0,
  });
  return maps;
}

async function run(
  words: string[],
  result: Verified | Error = EQUAL,
  options: object | undefined = { nodeName: 'n1' },
) {
  let asked: VerifyRequest | undefined;
  const outcome = await sluice(['verify', ...words], kernelWith(mapsTold(options)), {
    verify: async (request) => {
      asked = request;
      if (result instanceof Error) throw result;
      return result;
    },
  });
  return { ...outcome, asked };
}

test('equal is 0, with what was compared; the flags are those that the agent told', async () => {
  const { code, out, err, asked } = await run([]);
  expect([code, out, err]).toEqual([0, '', 'equal: 3 Services, 40 rows, 20 links and programs\n']);
  expect(asked).toMatchObject({ agent: { nodeName: 'n1', socketLb: 'all' }, lastState: false, timeoutMs: 30_000 });
});

test('differences are 1, sorted by object, each with what to do', async () => {
  const { code, out, err } = await run(['-o', 'wide'], { ...EQUAL, findings: FINDINGS });
  expect(code).toBe(1);
  expect(out).toMatch(
    /^OBJECT +WHERE +ROW +IS +SHOULD BE +WHAT TO DO\nn1 .*\nshop\/web +frontends +10\.96\.0\.1:80\/TCP +- /,
  );
  expect(out).toContain('the agent says: no room');
  expect(err).toMatch(/^2 differences: /);
  const json = await run(['-o', 'json'], { ...EQUAL, findings: FINDINGS });
  expect(JSON.parse(json.out)).toMatchObject({ items: [{ object: 'n1' }, { object: 'shop/web', kind: 'missing' }] });
});

test('what could not be compared is 2: a source that is silent, flags that nobody told, flags that exclude each other', async () => {
  const silent = await run([], new SluiceError('SOURCE_INVALID', 'list Services: not done'));
  expect([silent.code, silent.err]).toEqual([2, 'sluice: list Services: not done\n']);
  const untold = await sluice(['verify'], kernelWith(createMaps()));
  expect([untold.code, untold.err]).toEqual([2, expect.stringContaining('give them after --')]);
  expect((await run(['--manifests', '/', '--last-state'])).code).toBe(2);
  expect((await run(['--', '--devices', 'no such:device'])).code).toBe(2);
  expect((await run(['--', '--cleanup-of-nothing'])).code).toBe(2);
});

test('flags after -- take the place of those that were told, and a source of its own takes the place of theirs', async () => {
  const { asked } = await run([
    '--manifests',
    '/tmp',
    '--timeout',
    '5',
    '--',
    '--node-name',
    'other',
    '--socket-lb',
    'host-only',
  ]);
  expect(asked?.agent).toMatchObject({ nodeName: 'other', socketLb: 'host-only', source: { directory: '/tmp' } });
  expect(asked?.timeoutMs).toBe(5000);
  const told = await run(['--manifests', '/tmp']);
  expect(told.asked?.agent).toMatchObject({ nodeName: 'n1', source: { kind: 'manifests', directory: '/tmp' } });
});
