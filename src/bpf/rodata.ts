/** Sets the knobs: a `const volatile` struct in the object's .rodata, fixed before the verifier runs. */
import { type Knobs, knobs as knobsCodec } from '../../maps-schema/gen/codecs.ts';
import { SluiceError } from '../model/errors.ts';
import { kernelError } from './errno.ts';
import { readMemory } from './ffi.ts';
import { each, type Handle, libbpf } from './libbpf.ts';

const KIND_DATASEC = 15;
const TYPE_BYTES = 12;
const VARIABLE_BYTES = 12;

/** Finds a variable of a section by the object's BTF. @returns its offset and size in bytes. */
function findVariable(object: Handle, section: string, name: string): { offset: number; size: number } | undefined {
  const { bpf_object__btf, btf__find_by_name_kind, btf__type_by_id, btf__name_by_offset } = libbpf();
  const btf = bpf_object__btf(object);
  const id = btf === null ? -1 : btf__find_by_name_kind(btf, section, KIND_DATASEC);
  if (id < 0) return undefined;
  // struct btf_type { name_off, info, size } and then a struct btf_var_secinfo { type, offset, size } for each variable.
  const address: bigint = btf__type_by_id(btf, id);
  const count = readMemory(address, TYPE_BYTES).readUInt32LE(4) & 0xffff;
  const variables = readMemory(address, TYPE_BYTES + count * VARIABLE_BYTES);
  for (let i = 0; i < count; i++) {
    const at = TYPE_BYTES + i * VARIABLE_BYTES;
    const type = readMemory(btf__type_by_id(btf, variables.readUInt32LE(at)), TYPE_BYTES);
    if (btf__name_by_offset(btf, type.readUInt32LE(0)) !== name) continue;
    return { offset: variables.readUInt32LE(at + 4), size: variables.readUInt32LE(at + 8) };
  }
  return undefined;
}

/**
 * Writes the knobs into an opened object that is not loaded yet.
 * @throws SluiceError SCHEMA_MISMATCH when the object has no `struct knobs knobs` of this schema's size.
 */
export function setKnobs(object: Handle, file: string, knobs: Knobs): void {
  const { bpf_object__next_map, bpf_map__name, bpf_map__initial_value, bpf_map__set_initial_value } = libbpf();
  const map = [...each(object, bpf_object__next_map)].find((m) => (bpf_map__name(m) as string).endsWith('.rodata'));
  const variable = findVariable(object, '.rodata', 'knobs');
  if (map === undefined || variable === undefined || variable.size !== knobsCodec.size) {
    const found =
      variable === undefined
        ? 'no variable "knobs" in .rodata'
        : `knobs of ${variable.size} bytes, not ${knobsCodec.size}`;
    throw new SluiceError('SCHEMA_MISMATCH', `load ${file}: it has ${found}; build it again with "make build"`);
  }
  const size = Buffer.alloc(8);
  const address: bigint = bpf_map__initial_value(map, size);
  const data = readMemory(address, Number(size.readBigUInt64LE()));
  knobsCodec.write(data, variable.offset, knobs);
  const result = bpf_map__set_initial_value(map, data, data.length);
  if (result < 0)
    throw kernelError('LOAD_FAILED', `load ${file}: set the knobs`, 'bpf_map__set_initial_value', -result);
}
