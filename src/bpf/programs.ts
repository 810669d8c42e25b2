/** Pins programs, so that the CLI can tell which ones run when the agent is dead. */
import { join } from 'node:path';
import { programId, replacePin, withPin } from './object.ts';
import { listPins, programPin } from './paths.ts';

/** Pins each program under `progs/`, in the place of the one pinned before. @throws SluiceError ATTACH_FAILED. */
export function pinPrograms(programs: ReadonlyMap<string, number>, pinDirectory: string): void {
  for (const [name, fd] of programs) replacePin(fd, programPin(pinDirectory, name), `pin program ${name}`);
}

/** Names and kernel ids of the pinned programs, sorted by name. */
export function listPrograms(pinDirectory: string): { name: string; id: number }[] {
  return listPins(join(pinDirectory, 'progs')).map((name) => ({
    name,
    id: withPin(programPin(pinDirectory, name), programId) ?? 0,
  }));
}
