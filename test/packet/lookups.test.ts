/** The map operations of each path are those that docs/architecture.md lists; UPDATE=1 writes its table. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { subjectOf } from '../../bench/packet/measure.ts';
import { establish, type Family, PATHS, type Path, serve } from '../../bench/packet/paths.ts';
import { testRun } from '../../src/bpf/test-run.ts';
import { compileCounting, openMapCalls } from '../support/bpf-count/map-calls.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';

const DOCUMENT = fileURLToPath(new URL('../../docs/architecture.md', import.meta.url));
const [BEGIN, END] = ['<!-- measured lookups -->\n', '<!-- end of measured lookups -->'];
/** Slots of per-CPU arrays: counters and memory, not tables. */
const SLOTS = ['scratches', 'counters', 'table_events'];

let objects: string;
let rig: PacketRig;

beforeAll(async () => {
  objects = compileCounting();
  rig = await createPacketRig({}, 'tc', {}, objects);
}, 120_000);
afterAll(() => {
  rig?.remove();
  rmSync(objects, { recursive: true, force: true });
});

function operations(path: Path, family: Family): string {
  serve(rig);
  if (!path.fresh) establish(rig, family);
  const { program, frame: data, context } = subjectOf(rig, path, family);
  const calls = openMapCalls(program);
  try {
    calls.clear();
    expect(testRun(program, { data, context }).retval).toBe(path.verdict);
    const tables = calls.read().filter((call) => !SLOTS.includes(call.slice(1)));
    return tables.map((call) => `\`${call.replace('?', '')}\``).join(', ');
  } finally {
    calls.close();
  }
}

const row = (path: Path) => `| ${path.program} | ${path.name} | ${operations(path, 4)} |`;

describe('map operations', () => {
  it.each(
    PATHS.map((path) => [path.program, path.name, path] as const),
  )('%s, %s: the same for both families', (...of) => {
    expect(operations(of[2], 6)).toBe(operations(of[2], 4));
  });

  it('are those that docs/architecture.md lists', () => {
    const table = ['| program | packet | operations |', '|---|---|---|', ...PATHS.map(row), ''].join('\n');
    const text = readFileSync(DOCUMENT, 'utf8');
    const [before = '', after = ''] = [text.split(BEGIN)[0], text.split(END)[1]];
    if (process.env.UPDATE) writeFileSync(DOCUMENT, `${before}${BEGIN}\n${table}\n${END}${after}`);
    expect(readFileSync(DOCUMENT, 'utf8')).toContain(`${BEGIN}\n${table}\n${END}`);
  });
});
