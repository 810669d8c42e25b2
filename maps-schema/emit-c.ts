/** Emits maps-schema/gen/schema.h: structs, flags, enums and map definitions for bpf/. */
import type { Enum, Field, Flags, MapDescription, Schema, Struct } from './describe.ts';

const C_TYPES: Record<string, string> = {
  u8: '__u8',
  u16: '__u16',
  u32: '__u32',
  u64: '__u64',
  be16: '__be16',
  be32: '__be32',
  address: 'struct address',
};

function emitField(field: Field): string {
  const comment = `\t/* ${field.doc} */\n`;
  if (field.type === 'mac') return `${comment}\t__u8 ${field.name}[6];\n`;
  if (typeof field.type === 'string') return `${comment}\t${C_TYPES[field.type]} ${field.name};\n`;
  if ('pad' in field.type) return `\t__u8 ${field.name}[${field.type.pad}];\n`;
  if ('lock' in field.type) return `${comment}\tstruct bpf_spin_lock ${field.name};\n`;
  if ('words' in field.type) return `${comment}\t__u64 ${field.name}[${field.type.words}];\n`;
  if ('row' in field.type) return `${comment}\tstruct ${field.type.row} ${field.name};\n`;
  if ('rows' in field.type) return `${comment}\tstruct ${field.type.rows} ${field.name}[${field.type.count}];\n`;
  return `${comment}\tchar ${field.name}[${field.type.chars}];\n`;
}

function emitStruct(struct: Struct): string {
  return [
    `/* ${struct.doc} */\n`,
    `struct ${struct.name} {\n`,
    ...struct.fields.map(emitField),
    `};\n_Static_assert(sizeof(struct ${struct.name}) == ${struct.size}, "struct ${struct.name}");\n\n`,
  ].join('');
}

function emitFlags(flags: Flags): string {
  const bits = flags.bits.map((b) => `\t/* ${b.doc} */\n\t${flags.prefix}_${b.name} = 1 << ${b.bit},\n`);
  return `/* ${flags.doc} */\nenum ${flags.name} {\n${bits.join('')}};\n\n`;
}

function emitEnum(description: Enum): string {
  const values = description.values.map((v) => `\t/* ${v.doc} */\n\t${description.prefix}_${v.name},\n`);
  return `/* ${description.doc} */\nenum ${description.name} {\n${values.join('')}\t${description.prefix}_MAX,\n};\n\n`;
}

function emitMap(map: MapDescription): string {
  const type = (name: string) => (name === 'u32' ? '__u32' : `struct ${name}`);
  const flags = map.flags.length > 0 ? `\t__uint(map_flags, ${map.flags.join(' | ')});\n` : '';
  const rows = map.type === 'RINGBUF' ? '' : `\t__type(key, ${type(map.key)});\n\t__type(value, ${type(map.value)});\n`;
  return (
    `/* ${map.doc} */\nstruct {\n\t__uint(type, BPF_MAP_TYPE_${map.type});\n${rows}` +
    `\t__uint(max_entries, ${map.maxEntries});\n${flags}} ${map.name} SEC(".maps");\n\n`
  );
}

/**
 * @returns the text of the C header. Map definitions stand behind `SLUICE_MAPS`, so that the
 * structs can be included without them.
 */
export function emitC(schema: Schema): string {
  return [
    '/* Generated from maps-schema/schema.ts: do not edit. */\n#pragma once\n\n',
    `#define SLUICE_SCHEMA_VERSION ${schema.version}\n\n`,
    '/* IPv6, or IPv4 mapped as ::ffff:a.b.c.d, in network byte order. */\n',
    'struct address {\n\t__u8 b[16];\n} __attribute__((aligned(4)));\n\n',
    ...schema.flags.map(emitFlags),
    ...schema.enums.map(emitEnum),
    ...schema.structs.map(emitStruct),
    '#ifdef SLUICE_MAPS\n\n',
    ...schema.maps.map(emitMap),
    '#endif\n',
  ].join('');
}
