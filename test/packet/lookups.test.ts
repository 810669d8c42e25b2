/** The map operations of each path are those that docs/architecture.md lists; UPDATE=1 writes its table. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tableOperations } from '../../bench/packet/operations.ts';
import { type Family, PATH_KNOBS, PATHS, type Path } from '../../bench/packet/paths.ts';
import { compileCounting } from '../support/bpf-count/map-calls.ts';
import { createPacketRig, type PacketRig } from '../support/packet/rig.ts';

const DOCUMENT = fileURLToPath(new URL('../../docs/architecture.md', import.meta.url));
const [BEGIN, END] = ['<!-- measured lookups -->\n', '<!-- end of measured lookups -->'];

let objects: string;
let rig: PacketRig;

beforeAll(async () => {
  objects = compileCounting();
  rig = await createPacketRig(PATH_KNOBS, 'tc', {}, objects);
}, 120_000);
afterAll(() => {
  rig?.remove();
  rmSync(objects, { recursive: true, force: true });
});

function operations(path: Path, family: Family): string {
  return tableOperations(rig, path, family)
    .map((call) => `\`${call.replace('?', '')}\``)
    .join(', ');
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
