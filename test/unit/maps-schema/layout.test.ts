/** The C header, the TypeScript codecs and the compiled objects agree on every byte. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Struct } from '../../../maps-schema/describe.ts';
import { emitC } from '../../../maps-schema/emit-c.ts';
import * as codecs from '../../../maps-schema/gen/codecs.ts';
import { layout } from '../../../maps-schema/layout.ts';
import { schema } from '../../../maps-schema/schema.ts';
import { type Btf, readBtf } from './btf.ts';

const constants: Readonly<Record<string, unknown>> = { ...codecs };
const built = fileURLToPath(new URL('../../../dist/bpf/', import.meta.url));
const builtObjects = existsSync(built) ? readdirSync(built).filter((name) => name.endsWith('.bpf.o')) : [];

const expected = (struct: Struct) => ({
  size: struct.size,
  fields: layout(struct, schema.structs).map(({ field, offset, size }) => ({ name: field.name, offset, size })),
});

describe('the emitted header', () => {
  let directory: string;
  let btf: Btf;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'sluice-schema-'));
    writeFileSync(join(directory, 'schema.h'), emitC(schema));
    const enums = [...schema.flags, ...schema.enums];
    const uses = [
      ...schema.structs.map((s) => `struct ${s.name} a_${s.name};`),
      ...enums.map((e) => `enum ${e.name} b_${e.name};`),
    ];
    writeFileSync(
      join(directory, 'uses.bpf.c'),
      `#include <linux/bpf.h>\n#include <linux/types.h>\n#include "schema.h"\n${uses.join('\n')}\n`,
    );
    const include = ['-I', '/usr/include/x86_64-linux-gnu', '-I', '/usr/include/aarch64-linux-gnu'];
    execFileSync('clang', [
      '-O2',
      '-g',
      '-target',
      'bpf',
      '-mcpu=v3',
      ...include,
      '-c',
      join(directory, 'uses.bpf.c'),
      '-o',
      join(directory, 'uses.bpf.o'),
    ]);
    btf = readBtf(join(directory, 'uses.bpf.o'));
  });

  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it.each(schema.structs.map((s) => [s.name, s] as const))('lays out struct %s as the schema does', (name, struct) => {
    expect(btf.struct(name)).toEqual(expected(struct));
  });

  it.each(schema.flags.map((f) => [f.name, f] as const))('numbers the flags %s as TypeScript does', (name, flags) => {
    const names = flags.bits.map((bit) => `${flags.prefix}_${bit.name}`);
    expect(btf.enumeration(name)).toEqual(Object.fromEntries(names.map((n) => [n, constants[n]])));
  });

  it.each(
    schema.enums.map((e) => [e.name, e] as const),
  )('numbers the enum %s as TypeScript does', (name, description) => {
    const names = description.values.map((value) => `${description.prefix}_${value.name}`);
    const numbers: Record<string, unknown> = Object.fromEntries(names.map((n) => [n, constants[n]]));
    expect(btf.enumeration(name)).toEqual({ ...numbers, [`${description.prefix}_MAX`]: names.length });
  });
});

describe.each(builtObjects)('dist/bpf/%s', (object) => {
  const btf = readBtf(join(built, object));
  const present = schema.structs.filter((struct) => btf.struct(struct.name) !== undefined);

  it('has the structs of the maps', () => {
    expect(present.map((struct) => struct.name)).toEqual(
      expect.arrayContaining(['frontend_key', 'frontend', 'backend_slot', 'knobs']),
    );
  });

  it.each(present.map((s) => [s.name, s] as const))('lays out struct %s as the schema does', (name, struct) => {
    expect(btf.struct(name)).toEqual(expected(struct));
  });
});

describe('map descriptions', () => {
  it('have room for one counter per reason', () => {
    const reasons = schema.enums.find((e) => e.name === 'reason');
    expect(codecs.maps.counters.maxEntries).toBeGreaterThanOrEqual(reasons?.values.length ?? Number.POSITIVE_INFINITY);
  });

  it('give arrays u32 keys and tries a leading prefix length', () => {
    for (const map of schema.maps) {
      if (map.type.endsWith('ARRAY')) expect([map.name, map.key]).toEqual([map.name, 'u32']);
      if (map.type !== 'LPM_TRIE') continue;
      const key = schema.structs.find((struct) => struct.name === map.key);
      expect([map.name, key?.fields[0]?.name, key?.fields[0]?.type]).toEqual([map.name, 'prefixlen', 'u32']);
    }
  });
});
