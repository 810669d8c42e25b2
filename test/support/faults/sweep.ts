/**
 * Run in a node's network namespace and cgroup: `sweep.ts BPF_ROOT CGROUP_ROOT OBJECTS EVERY`. Each place from which the agent asks
 * the kernel fails in turn, at a start, in syncs, in a drift check, when pins are gone, at the sweep. Prints a line of
 * JSON for what is not as it should be, and one at the end.
 */
import { rmSync } from 'node:fs';
import { openMaps } from '../../../src/bpf/open-maps.ts';
import { linkPin, listPins, pinDirectoryOf } from '../../../src/bpf/paths.ts';
import type { Service } from '../../../src/model/kubernetes.ts';
import { factsOf } from '../../../src/tables/facts.ts';
import { type Objects, PartialAgent, type Place } from './agent.ts';
import { moving, still } from './objects.ts';
import { ERRNOS, isFault, sitesOf, withFault } from './sites.ts';

const [bpfRoot = '', cgroupRoot = '', objectDirectory = '', every = '1'] = process.argv.slice(2);
const place: Place = { bpfRoot, cgroupRoot, objectDirectory };
const EVERY = Number(every);
const objects: Objects = { services: new Map(), slices: new Map(), serviceCidrs: ['10.96.0.0/16'] };
const pinDirectory = pinDirectoryOf(bpfRoot);
let found = 0;
let cases = 0;

const print = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

function wrong(where: object, what: string, detail: unknown): void {
  found++;
  print({ wrong: what, ...where, detail });
}

/** What is in force of the Service that nothing changes. */
function inForce(): string {
  const maps = openMaps(pinDirectory);
  try {
    const facts = [...factsOf(maps).values()].filter(({ service }) => service === 'default/still');
    return facts
      .map(({ map, row, is }) => `${map} ${row} ${is}`)
      .sort()
      .join('\n');
  } finally {
    maps.close();
  }
}

interface Phase {
  readonly name: string;
  /** Done before, without a fault. */
  readonly prepare?: () => void;
  /** It is looked at again a second later, whatever it says. */
  readonly silent?: true;
  /** @returns whether all is said to be in force */
  readonly run: () => Promise<boolean>;
  /** Without a fault, as the agent would try again. */
  readonly again: () => Promise<boolean>;
}

/** Errors are told: that what is not in force is known. */
async function told(run: () => Promise<boolean>): Promise<boolean> {
  try {
    return await run();
  } catch {
    return false;
  }
}

async function sweepPhase(phase: Phase, differences: () => string[]): Promise<void> {
  phase.prepare?.();
  const sites = await sitesOf(phase.run);
  await phase.again();
  let turn = 0;
  for (const site of sites)
    for (const errno of ERRNOS) {
      if (!isFault(site, errno) || turn++ % EVERY !== 0) continue;
      const where = { phase: phase.name, site, errno };
      phase.prepare?.();
      const before = inForce();
      let ok = true;
      const nth = 1 + ((turn * 7) % 2);
      const times = turn % 3 === 0 ? 1 : Infinity;
      let failed = await withFault(site, errno, nth, times, async () => {
        ok = await told(phase.run);
      });
      if (failed === 0 && nth > 1) {
        await phase.again();
        phase.prepare?.();
        failed = await withFault(site, errno, 1, times, async () => {
          ok = await told(phase.run);
        });
      }
      if (failed === 0) continue;
      cases++;
      try {
        if (phase.prepare === undefined && inForce() !== before)
          wrong(where, 'what was in force changed', diffLines(before, inForce()));
        const open = differences();
        if (ok && !phase.silent && open.length > 0) wrong(where, 'all is said to be in force', open.slice(0, 4));
      } catch (error) {
        wrong(where, 'it cannot be compared', String(error));
      }
      let again = false;
      let why = '';
      for (let tries = 0; tries < 4 && !again; tries++)
        again = await phase.again().catch((error: unknown) => {
          why = String(error);
          return false;
        });
      const left = differences();
      if (!again || left.length > 0)
        wrong(where, again ? 'it is not put in force' : `it goes on failing ${why}`, left.slice(0, 4));
    }
  print({ phase: phase.name, sites: sites.length });
}

function diffLines(a: string, b: string): string[] {
  const [x, y] = [new Set(a.split('\n')), new Set(b.split('\n'))];
  return [
    ...[...x].filter((line) => !y.has(line)).map((line) => `- ${line}`),
    ...[...y].filter((line) => !x.has(line)).map((line) => `+ ${line}`),
  ].slice(0, 4);
}

for (const [name, { service, slices }] of Object.entries({ still: still(), moving: moving(0) })) {
  if (service !== undefined) objects.services.set(`default/${name}`, service);
  for (const slice of slices) objects.slices.set(`default/${slice.metadata?.name}`, slice);
}

let agent: PartialAgent | undefined = await PartialAgent.start(place, objects);
await agent.reconciler.sync(false);
const first = agent.differences();
if (first.length > 0) wrong({ phase: 'none' }, 'without a fault', first.slice(0, 6));

const running = (): PartialAgent => {
  if (agent === undefined) throw new Error('no agent runs');
  return agent;
};
const differences = () => running().differences();

let state = 0;
async function changes(): Promise<boolean> {
  let ok = true;
  for (let i = 0; i < 3; i++) {
    state = (state + 1) % 3;
    const { service, slices } = moving(state) as { service: Service | undefined; slices: never[] };
    running().set(service, slices, 'moving');
    running().setCidrs(state === 1 ? ['10.96.0.0/16', 'fd96::/108'] : ['10.96.0.0/16']);
    await running().readHost();
    ({ ok } = await running().reconciler.sync(false));
  }
  return ok;
}
await sweepPhase({ name: 'sync', run: changes, again: settled }, differences);

/** Names of Services that have gone are removed with the next sync. */
async function settled(): Promise<boolean> {
  await running().reconciler.sync(true);
  return (await running().reconciler.sync(false)).ok;
}

/** Rows are taken away and put in beside the agent. */
function damage(): void {
  const maps = openMaps(pinDirectory);
  try {
    const tables = [maps.frontends, maps.serviceAddresses, maps.servicePorts, maps.devices, maps.nodeAddresses];
    for (const map of [...tables, maps.affinityMembers, maps.sourceRanges]) {
      const row = map.entries().next().value;
      if (row !== undefined) map.delete(row.key);
    }
    maps.peers.update(Buffer.alloc(maps.peers.shape.keySize, 9), Buffer.alloc(maps.peers.shape.valueSize));
  } finally {
    maps.close();
  }
}
async function drift(): Promise<boolean> {
  const { ok } = await running().reconciler.sync(true);
  for (const _ of running().tables.repair());
  return ok;
}
await sweepPhase({ name: 'drift', prepare: damage, run: drift, again: drift }, differences);

function unpin(): void {
  const links = listPins(linkPin(pinDirectory, ''));
  for (const name of links.slice(0, 3)) rmSync(linkPin(pinDirectory, name), { force: true });
}
async function look(): Promise<boolean> {
  const { links, pinsLost } = running().dataPath.look();
  if (pinsLost) running().dataPath.pinAgain();
  if (links.length > 0) running().reconciler.linksLost();
  return (await running().reconciler.sync(false)).ok;
}
await sweepPhase({ name: 'pins', silent: true, prepare: unpin, run: look, again: look }, differences);

await sweepPhase(
  {
    name: 'sweep',
    run: async () => {
      await running().sweep();
      return true;
    },
    again: async () => {
      await running().sweep();
      return true;
    },
  },
  differences,
);

async function start(): Promise<boolean> {
  agent?.close();
  agent = undefined;
  agent = await PartialAgent.start(place, objects);
  const { ok } = await agent.reconciler.sync(false);
  return ok;
}
/** A start that failed left everything to the one before: it is looked at by one that does not. */
await sweepPhase(
  {
    name: 'start',
    run: start,
    again: async () => (agent === undefined ? start() : settled()),
  },
  () => (agent === undefined ? [] : agent.differences()),
);

running().close();
print({ done: true, cases, found });
