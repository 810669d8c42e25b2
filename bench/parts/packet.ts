/** Part 4: nanoseconds a packet of each program and path. */
import { rmSync } from 'node:fs';
import { flowPlaces } from '../../src/bpf/flow-table.ts';
import { compileCounting } from '../../test/support/bpf-count/map-calls.ts';
import { createPacketRig } from '../../test/support/packet/rig.ts';
import { measurePath, subjectOf } from '../packet/measure.ts';
import { instructionsOf, tableOperations } from '../packet/operations.ts';
import { FAMILIES, type Family, PATH_KNOBS, PATHS, type Path, serve } from '../packet/paths.ts';
import { openWrapper } from '../packet/wrapper.ts';
import type { PacketCost } from '../report/results.ts';
import { median } from '../stats/summary.ts';
import type { Context } from './context.ts';

/** Entries of each flow table: more than one round begins. */
const ENTRIES = 131_072;

export interface PacketResults {
  readonly packet: readonly PacketCost[];
  readonly callNanoseconds: number;
}

type Counts = Pick<PacketCost, 'lookups' | 'writes'>;

/** Lookups and writes of each path, by programs that are compiled to note them. */
async function countOperations(family: Family): Promise<Map<Path, Counts>> {
  const objects = compileCounting();
  try {
    const rig = await createPacketRig(PATH_KNOBS, 'tc', {}, objects);
    try {
      return new Map(
        PATHS.map((path) => {
          const calls = tableOperations(rig, path, family);
          const lookups = calls.filter((call) => call.startsWith('?')).length;
          return [path, { lookups, writes: calls.length - lookups }];
        }),
      );
    } finally {
      rig.remove();
    }
  } finally {
    rmSync(objects, { recursive: true, force: true });
  }
}

/** Runs the programs as they are loaded, in a network namespace of their own. */
export async function runPacket({ plan, tools, say }: Context): Promise<PacketResults> {
  const effort = plan.quick ? { rounds: 3, repeat: 50_000 } : { rounds: 9, repeat: 200_000 };
  // The same for both families: test/packet/lookups.test.ts.
  const counts = await countOperations(4);
  const rig = await createPacketRig(PATH_KNOBS, 'tc', {
    flows: ENTRIES / flowPlaces('flows'),
    halfOpenFlows: ENTRIES / flowPlaces('halfOpenFlows'),
  });
  try {
    const wrapper = openWrapper(tools.restore);
    try {
      serve(rig);
      const packet = FAMILIES.flatMap((family) =>
        PATHS.map((path) => {
          const cost = measurePath(rig, wrapper, path, family, effort);
          const { median, min } = cost.nanoseconds;
          say(`  ${cost.program}, ${cost.path}: ${median} ns (at least ${min})`);
          return { ...cost, ...counts.get(path), instructions: instructionsOf(rig.program(path.program)) };
        }),
      );
      const [first] = PATHS as [Path];
      const callNanoseconds = median(
        Array.from({ length: effort.rounds }, () => wrapper.callCost(subjectOf(rig, first, 4), effort.repeat)),
      );
      say(`  a call and its return: ${callNanoseconds.toFixed(1)} ns`);
      return { packet, callNanoseconds };
    } finally {
      wrapper.close();
    }
  } finally {
    rig.remove();
  }
}
