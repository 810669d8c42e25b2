/** Reads struct layouts and enums out of an object's BTF. */
import { execFileSync } from 'node:child_process';

interface BtfType {
  readonly id: number;
  readonly kind: string;
  readonly name: string;
  readonly size?: number;
  readonly type_id?: number;
  readonly nr_elems?: number;
  readonly members?: readonly { readonly name: string; readonly type_id: number; readonly bits_offset: number }[];
  readonly values?: readonly { readonly name: string; readonly val: number }[];
}

export interface BtfField {
  readonly name: string;
  /** Bytes from the start of the struct. */
  readonly offset: number;
  readonly size: number;
}

export interface Btf {
  /** Fields of a struct, or undefined when the object does not have it. */
  struct(name: string): { readonly size: number; readonly fields: readonly BtfField[] } | undefined;
  /** Names and values of an enum. */
  enumeration(name: string): Readonly<Record<string, number>> | undefined;
}

/** @param object path of a compiled object. */
export function readBtf(object: string): Btf {
  const output = execFileSync('bpftool', ['btf', 'dump', '-j', 'file', object], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  const { types } = JSON.parse(output) as { types: BtfType[] };
  const byId = new Map(types.map((type) => [type.id, type]));
  const sizeOf = (id: number): number => {
    const type = byId.get(id);
    if (type === undefined) throw new Error(`BTF of ${object}: no type ${id}`);
    if (type.kind === 'ARRAY') return sizeOf(type.type_id ?? 0) * (type.nr_elems ?? 0);
    if (type.kind === 'PTR') return 8;
    return type.size ?? sizeOf(type.type_id ?? 0);
  };
  const find = (kind: string, name: string) => types.find((type) => type.kind === kind && type.name === name);
  return {
    struct(name) {
      const type = find('STRUCT', name);
      const fields = type?.members?.map((m) => ({ name: m.name, offset: m.bits_offset / 8, size: sizeOf(m.type_id) }));
      return type === undefined ? undefined : { size: type.size ?? 0, fields: fields ?? [] };
    },
    enumeration(name) {
      const type = find('ENUM', name);
      return type?.values === undefined ? undefined : Object.fromEntries(type.values.map((v) => [v.name, v.val]));
    },
  };
}
