/** Which flows have not ended: a node is given back when none is left. */
import { FLOW_CLOSING_NO, FLOW_FOREIGN, flow as flowCodec, flowKey } from '../../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import type { FlowClock } from '../kernel.ts';
import { decodeRows } from '../views/rows.ts';

const TCP = 6;
/** Seconds without a packet after which a conversation of datagrams, or half a connection, counts as ended. */
const IDLE_SECONDS = 120;

/**
 * @param clock when it was read, and seconds since; undefined: no flow counts as idle.
 * @returns entries of flows: a connection has two or more.
 */
export function countOpenFlows(
  maps: Pick<Maps, 'flows' | 'halfOpenFlows'>,
  clock: (FlowClock & { readonly elapsed: number }) | undefined,
): number {
  let open = 0;
  for (const [halfOpen, table] of [
    [false, maps.flows],
    [true, maps.halfOpenFlows],
  ] as const) {
    for (const [key, flow] of decodeRows(table.entries(), flowKey, flowCodec)) {
      if (key.proto === 0 || (flow.flags & FLOW_FOREIGN) !== 0 || flow.closing !== FLOW_CLOSING_NO) continue;
      const ages = halfOpen || key.proto !== TCP;
      if (ages && clock !== undefined && idleSeconds(flow.lastSeen, clock) > IDLE_SECONDS) continue;
      open++;
    }
  }
  return open;
}

function idleSeconds(lastSeen: number, { now, jiffiesPerSecond, elapsed }: FlowClock & { elapsed: number }): number {
  const jiffies = (now - lastSeen) | 0;
  return jiffies / jiffiesPerSecond + elapsed;
}
