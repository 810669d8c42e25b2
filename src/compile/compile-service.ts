/** One Service and its slices in, its rows out. */
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_DSR,
  FRONTEND_EXTERNAL_DROP,
  FRONTEND_EXTERNAL_LOCAL,
  FRONTEND_INTERNAL_DROP,
} from '../../maps-schema/gen/codecs.ts';
import type { Family } from '../model/address.ts';
import type { CompiledService, CompiledServicePort, PolicyCounts } from '../model/compiled.ts';
import type { Refusal } from './address-rules.ts';
import { algorithmOfService } from './algorithm.ts';
import { type NodeContext, zoneOf } from './context.ts';
import { createGatherer, type Gatherer } from './endpoints.ts';
import { directBackends, receivesDirectReturn, reportRefusedMode } from './forwarding.ts';
import { finishFrontend, type Plan, planFrontend } from './frontends.ts';
import { createLocalCount, type LocalCount } from './health.ts';
import { createListBuilder, type ListBuilder } from './lists.ts';
import { createProblems, type ProblemSink } from './problems.ts';
import type { ParsedService } from './service.ts';
import type { ServicePort } from './service-ports.ts';
import type { ParsedSlice } from './slice.ts';

export interface ServiceInput {
  readonly service: ParsedService;
  /** Its slices, in the order of their keys. */
  readonly slices: readonly ParsedSlice[];
  readonly context: NodeContext;
  /** Which Service holds a frontend. */
  readonly holder: (claim: string) => string | undefined;
  /** Which external addresses are refused. */
  readonly refusal: Refusal;
}

function planFrontends(input: ServiceInput, port: ServicePort, problems: ProblemSink): Plan[] {
  const plans: Plan[] = [];
  for (const candidate of port.candidates) {
    const why = input.refusal(candidate, port.protocol);
    if (why !== undefined) {
      problems.add(candidate.field, why);
      continue;
    }
    const holder = input.holder(candidate.claim);
    if (holder === input.service.key) plans.push(planFrontend(input.service, port, candidate, input.context));
    else problems.add(candidate.field, `${candidate.claim} stays with Service ${holder}, which has it first`);
  }
  return plans;
}

/** Clients outside may be given a backend on another node. */
const hasBackendsElsewhere = (flags: number) => (flags & (FRONTEND_CLUSTER_IP | FRONTEND_EXTERNAL_LOCAL)) === 0;

/** What the ports of one Service share. */
interface Shared {
  readonly gather: Gatherer;
  readonly buildLists: ListBuilder;
  readonly local: LocalCount | undefined;
  readonly problems: ProblemSink;
}

function compilePort(
  { service, context }: ServiceInput,
  port: ServicePort,
  plans: readonly Plan[],
  { gather, buildLists, local, problems }: Shared,
): CompiledServicePort {
  const { endpoints, cut } = gather(port);
  if (cut > 0) problems.add(`port ${port.portName || port.protocol}`, `has too many endpoints: ${cut} are ignored`);
  local?.add(port.family, endpoints);
  const uses = (list: 'cluster' | 'local') => plans.some((plan) => plan.internal === list || plan.external === list);
  const built = buildLists(endpoints, { cluster: uses('cluster'), local: uses('local') });
  const directReturn = (): Pick<CompiledServicePort, 'directBackends'> => {
    const sends = plans.some(({ flags }) => flags & FRONTEND_DSR);
    const receives = plans.some(({ flags }) => hasBackendsElsewhere(flags)) && receivesDirectReturn(port, context);
    if (!sends && !receives) return {};
    const wanted = new Set([...built.serving, ...built.lists.cluster]);
    return { directBackends: directBackends(endpoints, wanted, !sends, context) };
  };
  const algorithm = algorithmOfService(service, context);
  return {
    namespace: service.namespace,
    service: service.name,
    portName: port.portName,
    protocol: port.protocol,
    family: port.family,
    frontends: plans.map((plan) => finishFrontend(plan, built)),
    lists: built.lists,
    serving: built.serving,
    ...(algorithm !== 'random' && { algorithm }),
    affinitySeconds: service.affinitySeconds,
    sourceRanges: service.sourceRanges[port.family] ?? [],
    ...directReturn(),
  };
}

/** Ports of which some frontend drops for want of an endpoint here. */
function countDropping(ports: readonly CompiledServicePort[]): CompiledService['noLocalEndpoints'] {
  const having = (family: Family, mask: number) =>
    ports.filter((port) => port.family === family && port.frontends.some(({ flags }) => (flags & mask) === mask))
      .length;
  const countsOf = (family: Family): PolicyCounts => ({
    internal: having(family, FRONTEND_INTERNAL_DROP),
    external: having(family, FRONTEND_EXTERNAL_LOCAL | FRONTEND_EXTERNAL_DROP),
  });
  return { IPv4: countsOf('IPv4'), IPv6: countsOf('IPv6') };
}

function latestTrigger(slices: readonly ParsedSlice[]): number | undefined {
  return slices.reduce<number | undefined>(
    (latest, { trigger }) => (trigger !== undefined && (latest === undefined || trigger > latest) ? trigger : latest),
    undefined,
  );
}

/** @returns the rows of a Service; without ports when it has none that are usable and its own. */
export function compileService(input: ServiceInput): CompiledService {
  const { service, slices, context } = input;
  const problems = createProblems('Service', service.namespace, service.name);
  reportRefusedMode(service, context, problems);
  const local = service.healthPort === undefined ? undefined : createLocalCount(service.healthPort);
  const gather = createGatherer(slices, context.nodeName);
  const shared = { gather, buildLists: createListBuilder(context.nodeName, zoneOf(context)), local, problems };
  const ports: CompiledServicePort[] = [];
  for (const port of service.ports) {
    if (!context.families.includes(port.family)) continue;
    const plans = planFrontends(input, port, problems);
    if (plans.length > 0) ports.push(compilePort(input, port, plans, shared));
    // Older Services have all its addresses; its endpoints are here all the same.
    else local?.add(port.family, gather(port).endpoints);
  }
  const found = [service.problems, problems.list(), ...slices.map((slice) => slice.problems)];
  return {
    namespace: service.namespace,
    name: service.name,
    created: service.created,
    ports,
    problems: found.flat(),
    health: local?.result(),
    noLocalEndpoints: countDropping(ports),
    lastChangeTrigger: latestTrigger(slices),
  };
}
