/** Programs of a few instructions, written by hand: for probes and for readings that no file gives. */
import { bpf, Command, cString, newAttr, putPointer } from './syscall.ts';

const MOVE = 0xb7;
const CALL = 0x85;
const EXIT = 0x95;

/** struct bpf_insn. */
function instruction(code: number, register: number, immediate: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes[0] = code;
  bytes[1] = register;
  bytes.writeInt32LE(immediate, 4);
  return bytes;
}

export const setRegister = (register: number, value: number) => instruction(MOVE, register, value);
export const callHelper = (helper: number) => instruction(CALL, 0, helper);
export const exit = () => instruction(EXIT, 0, 0);

/**
 * @param type enum bpf_prog_type @param attachType enum bpf_attach_type, for types that want one
 * @param flags BPF_F_* of BPF_PROG_LOAD
 * @returns a descriptor to close, or -errno.
 */
export function loadInstructions(type: number, instructions: readonly Buffer[], attachType = 0, flags = 0): number {
  const code = Buffer.concat(instructions);
  const attr = newAttr();
  attr.writeUInt32LE(type, 0);
  attr.writeUInt32LE(instructions.length, 4);
  putPointer(attr, 8, code);
  putPointer(attr, 16, cString('Dual MIT/GPL'));
  attr.writeUInt32LE(flags, 44);
  attr.writeUInt32LE(attachType, 68);
  return bpf(Command.PROG_LOAD, attr);
}
