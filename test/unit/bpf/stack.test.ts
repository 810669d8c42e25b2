/** Limits of older kernels that the running one does not have: found here, not only in a guest (test/kernels). */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { deepestChain, frameBytes, longestChain } from '../../support/bpf-stack.ts';
import { readFunctions } from '../../support/elf.ts';

const directory = fileURLToPath(new URL('../../../dist/bpf', import.meta.url));
const objects = readdirSync(directory).filter((name) => name.endsWith('.bpf.o'));
/** MAX_BPF_STACK, MAX_CALL_FRAMES. */
const STACK_BYTES = 512;
const CALL_FRAMES = 8;

describe.each(objects)('%s', (object) => {
  const functions = readFunctions(join(directory, object));
  const called = new Set(functions.flatMap(({ calls }) => calls));
  const programs = functions.map(({ name }) => name).filter((name) => !called.has(name));

  // Too deep? Let a function of the chain reach less far: fewer values alive at once, or memory of scratch.h.
  it.each(programs)('%s fits the stack of kernels before 6.8, which round frames up to 32 bytes', (program) => {
    const { bytes, frames } = deepestChain(functions, program);
    expect(bytes, frames.join(' > ')).toBeLessThanOrEqual(STACK_BYTES);
    expect(longestChain(functions, program)).toBeLessThanOrEqual(CALL_FRAMES);
  });
});

describe('the reckoning', () => {
  const instruction = (code: number, registers: number, offset: number, immediate: number) => {
    const bytes = Buffer.alloc(8);
    bytes[0] = code;
    bytes[1] = registers;
    bytes.writeInt16LE(offset, 2);
    bytes.writeInt32LE(immediate, 4);
    return bytes;
  };
  const storeAt = (offset: number) => instruction(0x7b, 0x1a, offset, 0);
  const addressOf = (offset: number) => [instruction(0xbf, 0xa2, 0, 0), instruction(0x07, 0x02, 0, offset)];
  const exit = instruction(0x95, 0, 0, 0);
  const make = (name: string, code: Buffer[], calls: string[] = []) => ({
    name,
    code: Buffer.concat([...code, exit]),
    calls,
  });

  it('takes the lowest address that is stored to or handed on', () => {
    expect(frameBytes(make('a', [storeAt(-8), storeAt(-40), storeAt(-16)]))).toBe(40);
    expect(frameBytes(make('a', [storeAt(-8), ...addressOf(-72)]))).toBe(72);
    expect(frameBytes(make('a', []))).toBe(0);
  });

  it('rounds each frame and follows the call that needs most', () => {
    const functions = [
      make('top', [storeAt(-8)], ['small', 'big']),
      make('small', [storeAt(-8)]),
      make('big', [storeAt(-200)]),
    ];
    expect(deepestChain(functions, 'top')).toEqual({ bytes: 32 + 224, frames: ['top:8', 'big:200'] });
    expect(longestChain(functions, 'top')).toBe(2);
  });
});
