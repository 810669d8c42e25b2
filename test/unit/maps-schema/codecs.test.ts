/** What a codec writes it reads again, whatever bytes were there before and stand beside it. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Codec, encode } from '../../../maps-schema/codec.ts';
import type { Field } from '../../../maps-schema/describe.ts';
import * as codecs from '../../../maps-schema/gen/codecs.ts';
import { layout } from '../../../maps-schema/layout.ts';
import { schema } from '../../../maps-schema/schema.ts';
import { parseAddress } from '../../../src/model/address.ts';

const camel = (name: string) => name.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase());
const generated: Readonly<Record<string, unknown>> = { ...codecs };
const codecOf = (name: string) => generated[camel(name)] as Codec<Record<string, unknown>>;

const byte = fc.integer({ min: 0, max: 255 });
/** Mapped addresses are written as IPv4, so the text read again differs from an IPv6 spelling of one. */
const address = fc.oneof(fc.ipV4(), fc.ipV6()).map((text) => parseAddress(text) ?? '::');

const word = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

/** Characters: what is longer differs in nothing but the time to make it. */
const LONGEST_TEXT = 512;

/** Bytes that a codec leaves zero and does not read. */
const isPad = ({ type }: Field) => typeof type === 'object' && ('pad' in type || 'lock' in type);

function structOf(fields: readonly Field[]): fc.Arbitrary<Record<string, unknown>> {
  const named = fields.filter((field) => !isPad(field));
  return fc.record(Object.fromEntries(named.map((field) => [camel(field.name), arbitraryOf(field)])));
}

const structNamed = (wanted: string) => structOf(schema.structs.find(({ name }) => name === wanted)?.fields ?? []);

function arbitraryOf(field: Field): fc.Arbitrary<unknown> {
  if (typeof field.type === 'object') {
    const { type } = field;
    if ('words' in type) return fc.array(word, { minLength: type.words, maxLength: type.words });
    if ('row' in type) return structNamed(type.row);
    if ('rows' in type) return fc.array(structNamed(type.rows), { minLength: type.count, maxLength: type.count });
    const size = 'chars' in type ? type.chars : 0;
    return fc
      .string({ unit: 'binary', maxLength: Math.min(size, LONGEST_TEXT) })
      .filter((text) => !text.includes('\0') && Buffer.byteLength(text) <= size);
  }
  const numbers = { u8: 255, u16: 65535, be16: 65535, u32: 0xffffffff, be32: 0xffffffff } as const;
  if (field.type === 'address') return address;
  if (field.type === 'mac')
    return fc
      .array(byte, { minLength: 6, maxLength: 6 })
      .map((b) => b.map((n) => n.toString(16).padStart(2, '0')).join(':'));
  if (field.type === 'u64') return word;
  return fc.integer({ min: 0, max: numbers[field.type] });
}

describe.each(schema.structs.map((struct) => [struct.name, struct] as const))('codec %s', (name, struct) => {
  const codec = codecOf(name);
  const value = structOf(struct.fields);

  it('reads what it wrote and touches nothing else', () => {
    fc.assert(
      fc.property(value, byte, fc.integer({ min: 0, max: 9 }), (written, fill, offset) => {
        const buffer = Buffer.alloc(offset + codec.size + 3, fill);
        codec.write(buffer, offset, written);
        expect(codec.read(buffer, offset)).toEqual({ ...written });
        expect(buffer.subarray(0, offset).equals(Buffer.alloc(offset, fill))).toBe(true);
        expect(buffer.subarray(offset + codec.size).equals(Buffer.alloc(3, fill))).toBe(true);
        expect(buffer.subarray(offset, offset + codec.size).equals(encode(codec, written))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it('writes zero into every pad', () => {
    const [first] = fc.sample(value, 1);
    const buffer = Buffer.alloc(codec.size, 0xff);
    codec.write(buffer, 0, first as Record<string, unknown>);
    for (const { field, offset, size } of layout(struct, schema.structs)) {
      if (isPad(field)) expect(buffer.subarray(offset, offset + size)).toEqual(Buffer.alloc(size));
    }
  });
});

describe('byte order', () => {
  it('of ports is the network, of lengths and ids the host', () => {
    const key = encode(codecs.frontendKey, { address: '10.1.2.3', port: 0x1234, proto: 6 });
    expect(key.toString('hex')).toBe('00000000000000000000ffff0a010203123406'.padEnd(40, '0'));
    const range = encode(codecs.sourceRangeKey, { prefixlen: 0x98, servicePortId: 0x01020304, address: '::1' });
    expect(range.subarray(0, 8).toString('hex')).toBe('9800000001020304');
  });
});

describe('codecs refuse', () => {
  const key = { address: '10.1.2.3', port: 80, proto: 6 };
  it('a number that does not fit, a text too long and a buffer too short', () => {
    expect(() => encode(codecs.frontendKey, { ...key, port: 65536 })).toThrow(RangeError);
    const names = { namespace: 'n'.repeat(65), service: 's', portName: '', proto: 6, family: 4 };
    expect(() => encode(codecs.servicePort, names)).toThrow(RangeError);
    expect(() => codecs.frontend.read(Buffer.alloc(27), 0)).toThrow(RangeError);
  });
});
