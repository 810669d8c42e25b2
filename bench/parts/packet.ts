/** Part 4: nanoseconds a packet of each program and path. */
import { createPacketRig } from '../../test/support/packet/rig.ts';
import { measurePath } from '../packet/measure.ts';
import { FAMILIES, PATHS, serve } from '../packet/paths.ts';
import { openWrapper } from '../packet/wrapper.ts';
import type { PacketCost } from '../report/results.ts';
import type { Context } from './context.ts';

/** Entries of each flow table: more than one round begins. */
const ENTRIES = 131_072;

/** Runs the programs as they are loaded, in a network namespace of their own. */
export async function runPacket({ plan, tools, say }: Context): Promise<PacketCost[]> {
  const effort = plan.quick ? { rounds: 3, repeat: 50_000 } : { rounds: 9, repeat: 200_000 };
  const rig = await createPacketRig({}, 'tc', { flows: ENTRIES, halfOpenFlows: ENTRIES });
  try {
    const wrapper = openWrapper(tools.restore);
    try {
      serve(rig);
      return FAMILIES.flatMap((family) =>
        PATHS.map((path) => {
          const cost = measurePath(rig, wrapper, path, family, effort);
          const { median, min } = cost.nanoseconds;
          say(`  ${cost.program}, ${cost.path}: ${median} ns (at least ${min})`);
          return cost;
        }),
      );
    } finally {
      wrapper.close();
    }
  } finally {
    rig.remove();
  }
}
