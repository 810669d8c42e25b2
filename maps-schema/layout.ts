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

function sizeOf(field: Field): { size: number; align: number } {
  if (typeof field.type === 'string') {
    const known = SIZES[field.type];
    if (known === undefined) throw new Error(`maps-schema: field ${field.name} has the unknown type ${field.type}`);
    return known;
  }
  if ('pad' in field.type) return { size: field.type.pad, align: 1 };
  return { size: field.type.chars, align: 1 };
}

/**
 * @returns the fields of a struct with their offsets in bytes.
 * @throws when the compiler would insert padding that the schema does not name, or the declared size is wrong.
 */
export function layout(struct: Struct): PlacedField[] {
  let offset = 0;
  let alignment = 1;
  const placed = struct.fields.map((field) => {
    const { size, align } = sizeOf(field);
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
