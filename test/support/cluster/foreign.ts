/** Programs of others on a device of a node: each counts what it sees, by the connection's stage. */
import * as schema from '../../../maps-schema/gen/codecs.ts';
import type { Direction } from '../../../src/bpf/clsact.ts';
import { linkCreate } from '../../../src/bpf/link.ts';
import { type LoadedPrograms, loadPrograms } from '../../../src/bpf/loader.ts';
import { type Maps, openMaps } from '../../../src/bpf/open-maps.ts';
import { ensurePinDirectory } from '../../../src/bpf/paths.ts';
import { close } from '../../../src/bpf/syscall.ts';
import { queryTcx, TCX_ATTACH_TYPES } from '../../../src/bpf/tcx.ts';
import { zeroKnobs } from '../../kernel/bpf/knobs.ts';
import { compileObjects, mountBpffs, SCHEMA, SMALL_MAPS } from '../../kernel/bpf/rig.ts';
import { within } from '../lab/within.ts';

export class Foreign {
  readonly #bpffs = mountBpffs();
  readonly #objects: { readonly directory: string; readonly remove: () => void };
  readonly #links: number[] = [];
  #loaded: LoadedPrograms | undefined;
  #maps: Maps | undefined;
  #pins = '';

  private constructor(source: string) {
    this.#objects = compileObjects({ tc: SCHEMA + source });
  }

  /** @param source C with SEC("tc") programs that count in `counters`, which are theirs alone. */
  static async load(source: string): Promise<Foreign> {
    const foreign = new Foreign(source);
    foreign.#pins = ensurePinDirectory(foreign.#bpffs.root);
    foreign.#loaded = await loadPrograms({
      objectDirectory: foreign.#objects.directory,
      pinDirectory: foreign.#pins,
      knobs: zeroKnobs,
      mapSizes: SMALL_MAPS,
      objects: ['tc.bpf.o'],
    });
    foreign.#maps = openMaps(foreign.#pins);
    return foreign;
  }

  /** Appends a program to a device's tcx hook. */
  attach(netns: string, ifindex: number, direction: Direction, program: string): void {
    const fd = this.#loaded?.program(program) ?? -1;
    const link = within(netns, () => linkCreate(fd, ifindex, TCX_ATTACH_TYPES[direction]));
    if (link < 0) throw new Error(`attach ${program} to the tcx hook: errno ${-link}`);
    this.#links.push(link);
  }

  /** Packets counted under a number. */
  count(number: number): number {
    const values = this.#maps?.counters.lookup(number) ?? [];
    return Number(values.reduce((sum, cpu) => sum + schema.counter.read(cpu, 0).packets, 0n));
  }

  remove(): void {
    for (const link of this.#links.splice(0)) close(link);
    this.#maps?.close();
    this.#loaded?.close();
    this.#objects.remove();
    this.#bpffs.remove();
  }
}

/** Ids of the links on a device, in the order they run. */
export function linksOn(netns: string, ifindex: number, direction: Direction): number[] {
  const links = within(netns, () => queryTcx(ifindex, direction));
  if (!Array.isArray(links)) throw new Error(`list the links of device ${ifindex}: errno ${-links}`);
  return links;
}
