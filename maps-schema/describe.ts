/** The small language in which maps-schema/schema.ts is written: plain data, no behaviour. */

/**
 * Scalar types of a field. `be16` and `be32` are stored in network byte order (in C `__be16`,
 * `__be32`); the TypeScript codec converts, so that TypeScript only ever sees host numbers.
 * `address` is 16 bytes: IPv6, or IPv4 mapped as ::ffff:a.b.c.d (RFC 4291 2.5.5.2).
 */
export type ScalarType = 'u8' | 'u16' | 'u32' | 'u64' | 'be16' | 'be32' | 'address' | 'mac';

/** Types of a field that are no scalars. */
export type BytesType =
  | { readonly pad: number }
  | { readonly chars: number }
  | { readonly words: number }
  | { readonly row: string }
  | { readonly rows: string; readonly count: number }
  | { readonly lock: true };

/** A field of a struct: its name, type and what it means (units, who writes it). */
export interface Field {
  readonly name: string;
  /**
   * A scalar, unnamed bytes, text padded with zero bytes, so many u64, one or so many structs of a name,
   * or the kernel's lock (struct bpf_spin_lock, 4 bytes, which user space neither reads nor writes).
   */
  readonly type: ScalarType | BytesType;
  readonly doc: string;
}

export interface Struct {
  readonly name: string;
  readonly doc: string;
  /** Asserted in C and against BTF. Bytes. */
  readonly size: number;
  readonly fields: readonly Field[];
}

/** Bit flags of one field: name → bit number. Emitted as `<PREFIX>_<NAME>` masks. */
export interface Flags {
  readonly name: string;
  readonly prefix: string;
  readonly doc: string;
  readonly bits: readonly { readonly name: string; readonly bit: number; readonly doc: string }[];
}

/** An enumeration, from zero upward. Emitted as `<PREFIX>_<NAME>`. */
export interface Enum {
  readonly name: string;
  readonly prefix: string;
  readonly doc: string;
  readonly values: readonly { readonly name: string; readonly doc: string }[];
}

export type MapType = 'HASH' | 'LRU_HASH' | 'ARRAY' | 'PERCPU_ARRAY' | 'LPM_TRIE' | 'RINGBUF';

export interface MapDescription {
  readonly name: string;
  readonly type: MapType;
  /** Name of a struct, 'u32' for arrays, or 'none' for a ring buffer. */
  readonly key: string;
  /** Name of a struct, 'u32', or 'none' for a ring buffer. */
  readonly value: string;
  /** Entries by default, bytes of a ring buffer; the agent may set another size at load. */
  readonly maxEntries: number;
  readonly flags: readonly ('BPF_F_MMAPABLE' | 'BPF_F_NO_PREALLOC')[];
  /** True when the data path writes rows of it (the agent then only reads and deletes). */
  readonly writtenByDataPath: boolean;
  readonly doc: string;
}

export interface Schema {
  /** Part of the pin path: a mismatch is refused or migrated, never reinterpreted. */
  readonly version: number;
  readonly structs: readonly Struct[];
  readonly flags: readonly Flags[];
  readonly enums: readonly Enum[];
  readonly maps: readonly MapDescription[];
}
