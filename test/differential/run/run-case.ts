/** Runs a case against the kernel and the model at once. */
import type { Action, Case, Probe } from '../case.ts';
import { type Affinity, createAffinity } from '../model/affinity.ts';
import type { Cluster } from '../model/cluster.ts';
import { decide, type Expected } from '../model/decide.ts';
import { Undecided } from '../model/endpoints.ts';
import { healthOf } from '../model/health.ts';
import { type Agent, createAgent } from './agent.ts';
import { compare, expectedText, observedText } from './compare.ts';
import type { Kernel } from './kernel.ts';
import { ageAffinities, forgetFlows } from './memory.ts';
import { type Observed, observe } from './observe.ts';

export interface Failure {
  /** Stays the same while a case is made smaller. */
  readonly what: string;
  /** Index of the action. */
  readonly action: number;
  readonly expected: string;
  readonly got: string;
}

export interface Result {
  readonly probes: number;
  /** Probes whose answer no rule decides. */
  readonly undecided: number;
  readonly failure?: Failure;
}

/** Of the range that source NAT keeps. */
const FIRST_PORT = 33_000;
const PORTS = 30_000;
/** A backend out of n is missed by 40 n tries about once in 10^17 times. */
const TRIES = 40;

export async function runCase(kernel: Kernel, given: Case): Promise<Result> {
  const cluster: Cluster = {
    configuration: given.configuration,
    socketLb: given.socketLb,
    services: new Map(),
    slices: new Map(),
    node: {},
    bound: [],
  };
  const affinity = createAffinity(cluster);
  const agent = createAgent(kernel, given);
  forgetFlows(kernel);
  const counts = { probes: 0, undecided: 0 };
  let stale = true;
  let clientPort = 0;

  async function sync(): Promise<Omit<Failure, 'action'> | undefined> {
    if (!stale) return undefined;
    stale = false;
    affinity.changed();
    await agent.sync();
    return compareHealth(cluster, agent);
  }

  function probe(wanted: Probe): Omit<Failure, 'action'> | undefined {
    const seen = new Set<string>();
    for (let i = 0; ; i++) {
      let expected: Expected;
      try {
        expected = decide(cluster, wanted, affinity.keep(wanted));
      } catch (error) {
        if (!(error instanceof Undecided)) throw error;
        counts.undecided++;
        return undefined;
      }
      clientPort = (clientPort + 1) % PORTS;
      counts.probes++;
      const observed = observe(kernel, wanted, FIRST_PORT + clientPort, cluster.bound);
      const what = compare(expected, observed);
      if (what !== undefined) return { what, expected: expectedText(expected), got: observedText(observed) };
      remember(affinity, wanted, expected, observed);
      const backend = observed.backend;
      if (backend !== undefined) seen.add(`${backend.address} ${backend.port}`);
      const missing = expected.choices.filter((one) => !one.unreachable && !seen.has(`${one.address} ${one.port}`));
      const again =
        wanted.thorough && observed.outcome !== 'over' && expected.frontend?.spec.sessionAffinity !== 'ClientIP';
      if (!again || missing.length === 0) return undefined;
      if (i > TRIES * expected.choices.length) {
        const never = missing.map((one) => `${one.address} ${one.port}`).join(', ');
        return { what: 'a backend that is never chosen', expected: expectedText(expected), got: `never ${never}` };
      }
    }
  }

  for (const [index, action] of given.actions.entries()) {
    let failure: Omit<Failure, 'action'> | undefined;
    try {
      if ('probe' in action) failure = (await sync()) ?? probe(action.probe);
      else if ('sync' in action) failure = await sync();
      else if ('seconds' in action) {
        affinity.pass(action.seconds);
        ageAffinities(kernel, action.seconds);
      } else {
        take(action, cluster, agent);
        stale = true;
      }
    } catch (error) {
      failure = { what: 'an error', expected: 'no error', got: (error as Error).stack ?? String(error) };
    }
    if (failure !== undefined) return { ...counts, failure: { ...failure, action: index } };
  }
  const left = await leftovers(cluster, agent);
  return { ...counts, ...(left && { failure: { ...left, action: given.actions.length } }) };
}

/** A backend was chosen, be it one that is not reached (a limit): the client's next choice depends on it. */
function remember(affinity: Affinity, probe: Probe, expected: Expected, observed: Observed): void {
  const { outcome, at } = observed;
  const chosen = outcome === 'dropped' ? expected.choices.find((one) => one.unreachable) : observed.backend;
  if ((outcome !== 'forwarded' && outcome !== 'dropped') || chosen === undefined || expected.frontend === undefined)
    return;
  affinity.connected(probe, expected.frontend, `${chosen.address} ${chosen.port}`, at === 'socket');
}

/** A change, for both sides. */
function take(
  action: Exclude<Action, { probe: Probe } | { sync: true } | { seconds: number }>,
  cluster: Cluster,
  agent: Agent,
): void {
  if ('service' in action) {
    const key = `${action.service.metadata?.namespace}/${action.service.metadata?.name}`;
    cluster.services.set(key, action.service);
    agent.setService(key, action.service);
  } else if ('slice' in action) {
    const key = `${action.slice.metadata?.namespace}/${action.slice.metadata?.name}`;
    cluster.slices.set(key, action.slice);
    agent.setSlice(key, action.slice);
  } else if ('delete' in action) {
    const key = `${action.delete.namespace}/${action.delete.name}`;
    const isService = action.delete.kind === 'Service';
    (isService ? cluster.services : cluster.slices).delete(key);
    if (isService) agent.setService(key, undefined);
    else agent.setSlice(key, undefined);
  } else if ('node' in action) {
    cluster.node = action.node;
    agent.setNode(action.node);
  } else if ('bound' in action) {
    cluster.bound = action.bound;
    agent.bind(action.bound);
  } else agent.restart();
}

/** */
function compareHealth(cluster: Cluster, agent: Agent): Omit<Failure, 'action'> | undefined {
  for (const key of cluster.services.keys()) {
    const expected = healthText(() => healthOf(cluster, key));
    const { port, localEndpointsByFamily: endpoints } = agent.health(key) ?? {};
    const got = healthText(() => port && { port, endpoints });
    if (expected !== undefined && expected !== got)
      return { what: 'another health', expected: `${key}: ${expected}`, got: got ?? '' };
  }
  return undefined;
}

/** @returns undefined when no rule decides. */
function healthText(ask: () => { port: number; endpoints?: object | undefined } | 0 | undefined): string | undefined {
  try {
    const health = ask();
    if (!health) return 'none';
    return `port ${health.port} ${JSON.stringify(Object.entries(health.endpoints ?? {}).sort())}`;
  } catch (error) {
    if (error instanceof Undecided) return undefined;
    throw error;
  }
}

/** once every object is gone, so is every row. */
async function leftovers(cluster: Cluster, agent: Agent): Promise<Omit<Failure, 'action'> | undefined> {
  for (const key of cluster.services.keys()) agent.setService(key, undefined);
  for (const key of cluster.slices.keys()) agent.setSlice(key, undefined);
  try {
    await agent.sync();
    await agent.sync();
  } catch (error) {
    return { what: 'an error at the end', expected: 'no error', got: (error as Error).stack ?? String(error) };
  }
  const rows = Object.entries(agent.rows()).filter(([, count]) => count > 0);
  if (rows.length === 0) return undefined;
  return {
    what: 'rows are left',
    expected: 'none (R-17)',
    got: rows.map(([name, count]) => `${name}: ${count}`).join(', '),
  };
}
