/**
 * The table of established flows while two CPUs write to the same buckets: nothing is torn, misplaced or miscounted. A key
 * may stand in both of its buckets, when both CPUs wrote it at once: it is then removed from both.
 */
import { availableParallelism } from 'node:os';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { encode } from '../../../maps-schema/codec.ts';
import { flowKey, TABLE_FLOWS_ADDED, TABLE_FLOWS_REMOVED } from '../../../maps-schema/gen/codecs.ts';
import { flowBuckets } from '../../../src/bpf/flow-hash.ts';
import { flowSecret } from '../../../src/bpf/flow-table.ts';
import { type LoadedPrograms, loadPrograms } from '../../../src/bpf/loader.ts';
import { type Maps, openMaps } from '../../../src/bpf/open-maps.ts';
import { ensurePinDirectory } from '../../../src/bpf/paths.ts';
import { bpfInBackground, Command, newAttr, putPointer } from '../../../src/bpf/syscall.ts';
import { evictedEntries } from '../../../src/bpf/table-events.ts';
import { readBuckets } from '../../support/packet/flow-rows.ts';
import { zeroKnobs } from './knobs.ts';
import { compileObjects, mountBpffs, SMALL_MAPS } from './rig.ts';

/** Few enough that CPUs meet: 64 places. */
const BUCKETS = 4;
const RUNS = 400_000;

/** Writes or removes a flow at random, of as many as its program's name says. All that it holds tells its key. */
const churn = (name: string, keys: number) => `
SEC("tc") int ${name}(struct __sk_buff *skb)
{
	__u32 random = bpf_get_prandom_u32();
	struct flow_key key = {.proto = 6, .sport = random % ${keys}};
	struct flow flow = {.sport = key.sport, .dport = key.sport, .backend_id = key.sport, .mtu = key.sport};

	flow.last_seen = clock_now();
	if (random >> 31)
		established_set(&key, &flow);
	else
		established_remove(&key);
	return 0;
}`;
const SOURCE = `#include "lib/common.h"\n#include "lib/flow_table.h"\n${churn('room', 40)}${churn('crowd', 400)}`;

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
    mapSizes: { ...SMALL_MAPS, flows: BUCKETS },
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
  if ((await bpfInBackground(Command.PROG_TEST_RUN, attr)) < 0) throw new Error(`run ${program}: the kernel refuses`);
}

/** What is wrong with the table as it is. */
function faults(): string[] {
  const secret = flowSecret(maps.control.view);
  const wrong: string[] = [];
  const spilled = Array<number>(BUCKETS).fill(0);
  const all = readBuckets(pins);
  for (const [index, { bucket, tags }] of all.entries()) {
    for (const [place, tag] of tags.entries()) {
      const [key, flow] = [bucket.keys[place], bucket.flows[place]];
      if (tag === 0 || key === undefined || flow === undefined) continue;
      const bytes = encode(flowKey, key);
      const home = flowBuckets(bytes, secret, BUCKETS);
      if (home.tag !== tag || (home.first !== index && home.second !== index)) wrong.push(`${key.sport}: misplaced`);
      if (tags.indexOf(tag) !== place) wrong.push(`${key.sport}: a tag twice in a bucket`);
      if (home.first !== index) spilled[home.first] = (spilled[home.first] ?? 0) + 1;
      if (flow.sport !== key.sport || flow.dport !== key.sport || flow.mtu !== flow.backendId)
        wrong.push(`${key.sport}: has the flow of another`);
      if (maps.flows.lookup(bytes) === undefined) wrong.push(`${key.sport}: is not found`);
    }
  }
  for (const [index, { bucket }] of all.entries())
    if (bucket.spilled !== spilled[index])
      wrong.push(`bucket ${index}: ${bucket.spilled} spilled, not ${spilled[index]}`);
  return wrong;
}

const evicted = () =>
  evictedEntries(maps.tableEvents, TABLE_FLOWS_ADDED, TABLE_FLOWS_REMOVED, [...maps.flows.entries()].length);

it.runIf(availableParallelism() > 1)('keeps its order while there is room (one CPU cannot show it)', async () => {
  await Promise.all([run('room'), run('room')]);
  expect(faults()).toEqual([]);
  // About half of the keys are there.
  expect([...maps.flows.entries()].length).toBeGreaterThan(5);
});

it.runIf(availableParallelism() > 1)(
  'keeps its order while flows make room (R-74; one CPU cannot show it)',
  async () => {
    const before = evicted();
    await Promise.all([run('crowd'), run('crowd')]);
    expect(faults()).toEqual([]);
    expect(evicted()).toBeGreaterThan(before + RUNS / 20);
  },
);
