/** Starts a proxy from nothing, and says when its first packet was served. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Competitor, NotAvailable } from '../competitors/competitor.ts';
import type { RunningLoad } from '../load/run.ts';
import { clusterIpOf, fillerAddress, HTTP, type ModelService, NAMESPACE, sliceObject } from '../rules/model.ts';
import { SERVER_PORT, type World } from '../world/world.ts';

/** A line of `load watch`: nanoseconds of CLOCK_MONOTONIC, and who answered; `-`: nobody. */
export interface Word {
  readonly at: number;
  readonly name: string;
}

export interface Started {
  readonly pid: number;
  /** From the start of the process to the first answer. */
  readonly startMs: number;
  /** From the last byte of the lists to the first answer. */
  readonly listsMs: number;
  stop(): Promise<void>;
}

/** Endpoints of each Service. */
export function endpointsAt(size: number): number {
  return size >= 50_000 ? 5 : 10;
}

/** The Service that is dialled: as many endpoints as the others, two of them backends that exist. */
export function flipService(world: World, size: number): ModelService {
  const [one, two] = world.endpoints;
  if (one === undefined || two === undefined) throw new Error('lay out a Service to flip: it takes two backends');
  const others = Array.from({ length: endpointsAt(size) - 2 }, (_, k) => ({
    address: fillerAddress(0x36ff00 + k),
    nodeName: 'other1',
  }));
  return {
    namespace: NAMESPACE,
    name: 'flip',
    clusterIp: clusterIpOf(65_000),
    ports: [HTTP, { name: 'dns', protocol: 'UDP', port: 80, targetPort: SERVER_PORT }],
    endpoints: [one, two, ...others],
  };
}

/** Puts the objects of a size into the API server anew, whatever a run before has left there. */
export async function prepare(world: World, size: number): Promise<void> {
  await world.api.ask({ op: 'calm' });
  const flip = flipService(world, size);
  const extra = [flip];
  await world.api.ask({ op: 'set', size, ports: [], endpoints: [], extra, fillerEndpoints: endpointsAt(size) });
  await world.api.apply([sliceObject(flip, (k) => k === 0)]);
}

const START_MS = 300_000;

/** @throws NotAvailable when the proxy ends first, or nothing answers within five minutes */
async function firstAnswer(watch: RunningLoad<Word>, check: () => Promise<void>): Promise<Word> {
  const deadline = performance.now() + START_MS;
  for (;;) {
    const first = watch.lines.find(({ name }) => name === 'backend1');
    if (first !== undefined) return first;
    await check().catch((error: Error) => {
      throw new NotAvailable(error.message);
    });
    if (performance.now() > deadline) throw new NotAvailable(`no answer ${START_MS / 1000} s after its start`);
    await delay(2);
  }
}

/** Starts it with nothing left of a former run. @throws NotAvailable when it does not come to serve; then it is gone */
export async function startProxy(world: World, competitor: Competitor, watch: RunningLoad<Word>): Promise<Started> {
  if (competitor.controlPlane === undefined) throw new Error(`start ${competitor.name}: it has no control plane`);
  const began = process.hrtime.bigint();
  const { pid, check, stop } = await competitor.controlPlane({ world, node: world.nodeOf(competitor) });
  const first = await firstAnswer(watch, check).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  const lastByte = BigInt((await world.api.ask<{ at: string }>({ op: 'last-byte' })).at);
  const at = BigInt(first.at);
  return { pid, stop, startMs: Number(at - began) / 1e6, listsMs: Number(at - lastByte) / 1e6 };
}
