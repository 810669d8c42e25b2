/** Emits maps-schema/gen/codecs.ts: interfaces, codecs, flag constants and map descriptions for src/. */
import type { Field, Schema, Struct } from './describe.ts';
import { layout, type PlacedField } from './layout.ts';

const camel = (name: string) => name.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase());
const pascal = (name: string) => camel(name).replace(/^./, (c) => c.toUpperCase());

const TS_TYPES: Record<string, string> = {
  u8: 'number',
  u16: 'number',
  u32: 'number',
  u64: 'bigint',
  be16: 'number',
  be32: 'number',
  address: 'Address',
  mac: 'string',
  text: 'string',
};

const WRITE: Record<string, (value: string, at: string, size: number) => string> = {
  u8: (v, at) => `buffer.writeUInt8(${v}, ${at});`,
  u16: (v, at) => `buffer.writeUInt16LE(${v}, ${at});`,
  u32: (v, at) => `buffer.writeUInt32LE(${v}, ${at});`,
  u64: (v, at) => `buffer.writeBigUInt64LE(${v}, ${at});`,
  be16: (v, at) => `buffer.writeUInt16BE(${v}, ${at});`,
  be32: (v, at) => `buffer.writeUInt32BE(${v}, ${at});`,
  address: (v, at) => `writeAddress(buffer, ${at}, ${v});`,
  mac: (v, at) => `writeMac(buffer, ${at}, ${v});`,
  text: (v, at, size) => `writeText(buffer, ${at}, ${size}, ${v});`,
};

const READ: Record<string, (at: string, size: number) => string> = {
  u8: (at) => `buffer.readUInt8(${at})`,
  u16: (at) => `buffer.readUInt16LE(${at})`,
  u32: (at) => `buffer.readUInt32LE(${at})`,
  u64: (at) => `buffer.readBigUInt64LE(${at})`,
  be16: (at) => `buffer.readUInt16BE(${at})`,
  be32: (at) => `buffer.readUInt32BE(${at})`,
  address: (at) => `readAddress(buffer, ${at})`,
  mac: (at) => `readMac(buffer, ${at})`,
  text: (at, size) => `readText(buffer, ${at}, ${size})`,
};

/** What user space leaves zero and does not read. */
const isPad = ({ type }: Field) => typeof type === 'object' && ('pad' in type || 'lock' in type);

interface Access {
  readonly type: string;
  write(value: string, at: string, size: number): string;
  read(at: string, size: number): string;
}

function accessOf({ type }: Field): Access {
  if (typeof type === 'object' && 'words' in type) {
    return {
      type: 'readonly bigint[]',
      write: (v, at) =>
        `for (let i = 0; i < ${type.words}; i++) buffer.writeBigUInt64LE(${v}[i] ?? 0n, ${at} + 8 * i);`,
      read: (at) => `Array.from({ length: ${type.words} }, (_, i) => buffer.readBigUInt64LE(${at} + 8 * i))`,
    };
  }
  if (typeof type === 'object' && 'row' in type) {
    const codec = camel(type.row);
    return {
      type: pascal(type.row),
      write: (v, at) => `${codec}.write(buffer, ${at}, ${v});`,
      read: (at) => `${codec}.read(buffer, ${at})`,
    };
  }
  if (typeof type === 'object' && 'rows' in type) {
    const codec = camel(type.rows);
    return {
      type: `readonly ${pascal(type.rows)}[]`,
      write: (v, at) => `${v}.forEach((row, i) => ${codec}.write(buffer, ${at} + ${codec}.size * i, row));`,
      read: (at) => `Array.from({ length: ${type.count} }, (_, i) => ${codec}.read(buffer, ${at} + ${codec}.size * i))`,
    };
  }
  const name = typeof type === 'string' ? type : 'text';
  const [write, read] = [WRITE[name], READ[name]];
  if (write === undefined || read === undefined) throw new Error(`maps-schema: no code for the type ${name}`);
  return { type: TS_TYPES[name] ?? name, write, read };
}

function emitStruct(struct: Struct, structs: readonly Struct[]): string {
  const placed = layout(struct, structs);
  const named = placed.filter((p) => !isPad(p.field));
  const at = (p: PlacedField) => `offset + ${p.offset}`;
  const write = placed.map((p) =>
    isPad(p.field)
      ? `    buffer.fill(0, ${at(p)}, ${at(p)} + ${p.size});`
      : `    ${accessOf(p.field).write(`value.${camel(p.field.name)}`, at(p), p.size)}`,
  );
  return [
    `/** ${struct.doc} */`,
    `export interface ${pascal(struct.name)} {`,
    ...named.map((p) => `  /** ${p.field.doc} */\n  ${camel(p.field.name)}: ${accessOf(p.field).type};`),
    '}',
    `export const ${camel(struct.name)}: Codec<${pascal(struct.name)}> = {`,
    `  name: '${struct.name}',`,
    `  size: ${struct.size},`,
    `  write(buffer, offset, value) {`,
    ...write,
    '  },',
    '  read(buffer, offset) {',
    '    return {',
    ...named.map((p) => `      ${camel(p.field.name)}: ${accessOf(p.field).read(at(p), p.size)},`),
    '    };',
    '  },',
    '};',
    '',
  ].join('\n');
}

/** @returns the text of the TypeScript module. */
export function emitTs(schema: Schema): string {
  const sizes = new Map(schema.structs.map((s) => [s.name, s.size]));
  const sizeOf = (name: string) => (name === 'none' ? 0 : name === 'u32' ? 4 : sizes.get(name));
  const flagConstants = schema.flags.flatMap((flags) => [
    ...flags.bits.map((b) => `/** ${b.doc} */\nexport const ${flags.prefix}_${b.name} = ${2 ** b.bit};`),
    `/** Names of ${flags.name} by bit number. */\nexport const ${camel(flags.name)}: Readonly<Record<number, string>> = { ${flags.bits.map((b) => `${b.bit}: '${b.name}'`).join(', ')} };`,
  ]);
  const enumConstants = schema.enums.flatMap((e) => [
    ...e.values.map((v, i) => `/** ${v.doc} */\nexport const ${e.prefix}_${v.name} = ${i};`),
    `/** ${e.doc} */\nexport const ${camel(e.name)}s: readonly { readonly name: string; readonly doc: string }[] = ${JSON.stringify(e.values.map((v) => ({ name: v.name, doc: v.doc })))};`,
  ]);
  const maps = schema.maps.map(
    (m) =>
      `  /** ${m.doc} */\n  ${camel(m.name)}: { name: '${m.name}', type: '${m.type}', keySize: ${sizeOf(m.key)}, valueSize: ${sizeOf(m.value)}, maxEntries: ${m.maxEntries}, mmapable: ${m.flags.includes('BPF_F_MMAPABLE')}, writtenByDataPath: ${m.writtenByDataPath} },`,
  );
  return [
    '/** Generated from maps-schema/schema.ts: do not edit. */',
    "import { type Address, readAddress, writeAddress } from '../../src/model/address.ts';",
    "import { readMac, writeMac } from '../../src/model/mac.ts';",
    "import { type Codec, type MapShape, readText, writeText } from '../codec.ts';",
    '',
    `export const SCHEMA_VERSION = ${schema.version};`,
    '',
    ...flagConstants,
    ...enumConstants,
    '',
    ...schema.structs.map((struct) => emitStruct(struct, schema.structs)),
    `export type MapName = ${schema.maps.map((m) => `'${camel(m.name)}'`).join(' | ')};`,
    'export const maps: Readonly<Record<MapName, MapShape>> = {',
    ...maps,
    '};',
    '',
  ].join('\n');
}
