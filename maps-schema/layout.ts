/** Where each field of a struct lies: the C rules of alignment, applied to the schema. */
import type { Field, Struct } from './describe.ts';

const SIZES: Record<string, { size: number; align: number }> = {
  u8: { size: 1, align: 1 },
  u16: { size: 2, align: 2 },
  u32: { size: 4, align: 4 },
  u64: { size: 8, align: 8 },
  be16: { size: 2, align: 2 },
  be32: { size: 4, align: 4 },
  address: { size: 16, align: 4 },
  mac: { size: 6, align: 1 },
};

export interface PlacedField {
  readonly field: Field;
  /** Bytes from the start of the struct. */
  readonly offset: number;
  readonly size: number;
}

function placeOf(field: Field, structs: readonly Struct[]): { size: number; align: number } {
  if (typeof field.type === 'string') {
    const known = SIZES[field.type];
    if (known === undefined) throw new Error(`maps-schema: field ${field.name} has the unknown type ${field.type}`);
    return known;
  }
  const { type } = field;
  if ('pad' in type) return { size: type.pad, align: 1 };
  if ('chars' in type) return { size: type.chars, align: 1 };
  if ('lock' in type) return { size: 4, align: 4 };
  if ('words' in type) return { size: 8 * type.words, align: 8 };
  const [name, count] = 'row' in type ? [type.row, 1] : [type.rows, type.count];
  const row = structs.find((struct) => struct.name === name);
  if (row === undefined) throw new Error(`maps-schema: field ${field.name} has rows of the unknown struct ${name}`);
  return { size: row.size * count, align: alignmentOf(row, structs) };
}

function alignmentOf(struct: Struct, structs: readonly Struct[]): number {
  return Math.max(1, ...struct.fields.map((field) => placeOf(field, structs).align));
}

/**
 * @param structs of the schema, those that are fields of others among them
 * @returns the fields of a struct with their offsets in bytes.
 * @throws when the compiler would insert padding that the schema does not name, or the declared size is wrong.
 */
export function layout(struct: Struct, structs: readonly Struct[]): PlacedField[] {
  let offset = 0;
  let alignment = 1;
  const placed = struct.fields.map((field) => {
    const { size, align } = placeOf(field, structs);
    if (offset % align !== 0)
      throw new Error(`maps-schema: ${struct.name}.${field.name} needs explicit padding before it`);
    alignment = Math.max(alignment, align);
    const at = { field, offset, size };
    offset += size;
    return at;
  });
  if (offset !== struct.size || offset % alignment !== 0) {
    throw new Error(
      `maps-schema: ${struct.name} is ${offset} bytes (alignment ${alignment}), declared as ${struct.size}`,
    );
  }
  return placed;
}
