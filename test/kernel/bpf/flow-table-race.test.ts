/**
 * The tables of flows while two CPUs write to the same buckets: nothing is torn, misplaced or miscounted. An established
 * flow may stand in both of its buckets, when both CPUs wrote it at once: it is then removed from both. A half-open one
 * is there once, whoever wrote it first.
 */
import { availableParallelism } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encode } from '../../../maps-schema/codec.ts';
import {
  flowKey,
  TABLE_FLOWS_ADDED,
  TABLE_FLOWS_REMOVED,
  TABLE_HALF_OPEN_ADDED,
  TABLE_HALF_OPEN_REMOVED,
} from '../../../maps-schema/gen/codecs.ts';
import { inBackground, syscall3 } from '../../../src/bpf/ffi.ts';
import { flowBuckets } from '../../../src/bpf/flow-hash.ts';
import { emptyFlowTable, type FlowTableName, flowSecret } from '../../../src/bpf/flow-table.ts';
import { type LoadedPrograms, loadPrograms } from '../../../src/bpf/loader.ts';
import { type Maps, openMaps } from '../../../src/bpf/open-maps.ts';
import { ensurePinDirectory } from '../../../src/bpf/paths.ts';
import { BPF, Command, newAttr, putPointer } from '../../../src/bpf/syscall.ts';
import { evictedEntries } from '../../../src/bpf/table-events.ts';
import { readBuckets } from '../../support/packet/flow-rows.ts';
import { zeroKnobs } from './knobs.ts';
import { compileObjects, mountBpffs, SMALL_MAPS } from './rig.ts';

/** Few enough that CPUs meet: 64 places, or 128. */
const BUCKETS = 4;
const RUNS = 400_000;

interface Table {
  readonly name: FlowTableName;
  readonly write: string;
  readonly remove: string;
  readonly added: number;
  readonly removed: number;
}
const ESTABLISHED: Table = {
  name: 'flows',
  write: 'established_set(&key, &flow, &evicted)',
  remove: 'established_remove(&key)',
  added: TABLE_FLOWS_ADDED,
  removed: TABLE_FLOWS_REMOVED,
};
const HALF_OPEN: Table = {
  name: 'halfOpenFlows',
  write: 'half_open_put(&key, &flow, flow_hash_of(&key), &evicted.row)',
  remove: 'half_open_remove(&key)',
  added: TABLE_HALF_OPEN_ADDED,
  removed: TABLE_HALF_OPEN_REMOVED,
};

/** Writes or removes a flow at random, of so many. All that it holds tells its key. */
const churn = (program: string, { write, remove }: Table, keys: number) => `
SEC("tc") int ${program}(struct __sk_buff *skb)
{
	__u32 random = bpf_get_prandom_u32();
	struct flow_key key = {.proto = 6, .sport = random % ${keys}};
	struct flow flow = {.sport = key.sport, .dport = key.sport, .backend_id = key.sport, .mtu = key.sport};

	struct flow_evicted evicted;

	flow.last_seen = clock_now();
	if (random >> 31)
		${write};
	else
		${remove};
	return 0;
}`;
const SOURCE = [
  '#include "lib/common.h"\n#include "lib/flow_table.h"\n#include "lib/half_open.h"\n',
  churn('room_flows', ESTABLISHED, 90),
  churn('crowd_flows', ESTABLISHED, 400),
  churn('room_halfOpenFlows', HALF_OPEN, 90),
  churn('crowd_halfOpenFlows', HALF_OPEN, 400),
].join('');

let bpffs: ReturnType<typeof mountBpffs>;
let objects: ReturnType<typeof compileObjects>;
let pins: string;
let loaded: LoadedPrograms;
let maps: Maps;

beforeAll(async () => {
  bpffs = mountBpffs();
  objects = compileObjects({ churn: SOURCE });
  pins = ensurePinDirectory(bpffs.root);
  loaded = await loadPrograms({
    objectDirectory: objects.directory,
    pinDirectory: pins,
    knobs: { ...zeroKnobs, jiffiesPerSecond: 1000 },
    mapSizes: { ...SMALL_MAPS, flows: BUCKETS, halfOpenFlows: BUCKETS },
    objects: ['churn.bpf.o'],
  });
  maps = openMaps(pins);
});
afterAll(() => {
  maps?.close();
  loaded?.close();
  objects?.remove();
  bpffs?.remove();
});

/** Runs a program so often, on a thread of its own. */
async function run(program: string): Promise<void> {
  const attr = newAttr();
  const frame = Buffer.alloc(64);
  attr.writeInt32LE(loaded.program(program), 0);
  attr.writeUInt32LE(frame.length, 8);
  putPointer(attr, 16, frame);
  attr.writeUInt32LE(RUNS, 32);
  if ((await inBackground(syscall3, BPF, Command.PROG_TEST_RUN, attr, attr.length)) < 0)
    throw new Error(`run ${program}: the kernel refuses`);
}

/** What is wrong with the table as it is. @param once no key may be there twice */
function faults({ name }: Table, once = name === 'halfOpenFlows'): string[] {
  const secret = flowSecret(maps.control.view);
  const wrong: string[] = [];
  const spilled = Array<number>(BUCKETS).fill(0);
  const seen = new Set<number>();
  const all = readBuckets(pins, name);
  for (const [index, { rows, tags }] of all.entries()) {
    for (const [place, tag] of tags.entries()) {
      const { key, flow } = rows[place] ?? {};
      if (key === undefined || flow === undefined || (key.proto === 0) !== (tag === 0))
        wrong.push(`${index} ${place}: a row without a tag, or a tag without a row`);
      if (tag === 0 || key === undefined || flow === undefined) continue;
      const bytes = encode(flowKey, key);
      const home = flowBuckets(bytes, secret, BUCKETS);
      const second = name === 'flows' ? home.second : home.first;
      if (home.tag !== tag || (home.first !== index && second !== index)) wrong.push(`${key.sport}: misplaced`);
      if (tags.indexOf(tag) !== place && name === 'flows') wrong.push(`${key.sport}: a tag twice in a bucket`);
      if (home.first !== index) spilled[home.first] = (spilled[home.first] ?? 0) + 1;
      if (flow.sport !== key.sport || flow.dport !== key.sport || flow.mtu !== flow.backendId)
        wrong.push(`${key.sport}: has the flow of another`);
      if (maps[name].lookup(bytes) === undefined) wrong.push(`${key.sport}: is not found`);
      if (seen.has(key.sport) && once) wrong.push(`${key.sport}: is there twice`);
      seen.add(key.sport);
    }
  }
  for (const [index, bucket] of all.entries())
    if (bucket.spilled !== spilled[index])
      wrong.push(`bucket ${index}: ${bucket.spilled} spilled, not ${spilled[index]}`);
  return wrong;
}

const entries = ({ name }: Table) => [...maps[name].entries()].length;
const evicted = (table: Table) => evictedEntries(maps.tableEvents, table.added, table.removed, entries(table));
const TABLES = [ESTABLISHED, HALF_OPEN].map((table) => [table.name, table] as const);

it.each(TABLES)('%s: one CPU alone writes no key twice', async (name, table) => {
  for (const crowd of ['room', 'crowd']) {
    emptyFlowTable(pins, name);
    await run(`${crowd}_${name}`);
    expect(faults(table, true)).toEqual([]);
  }
});

describe.runIf(availableParallelism() > 1).each(TABLES)('%s (one CPU cannot show it)', (name, table) => {
  it('keeps its order while there is room', async () => {
    await Promise.all([run(`room_${name}`), run(`room_${name}`)]);
    expect(faults(table)).toEqual([]);
    // About half of the keys are there.
    expect(entries(table)).toBeGreaterThan(5);
  });

  it('keeps its order while flows make room (R-74)', async () => {
    const before = evicted(table);
    await Promise.all([run(`crowd_${name}`), run(`crowd_${name}`)]);
    expect(faults(table)).toEqual([]);
    expect(evicted(table)).toBeGreaterThan(before + RUNS / 20);
  });
});
