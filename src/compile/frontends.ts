/** What a frontend does with a packet: its two lists, for whom the source is translated, when it drops. */
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_DSR,
  FRONTEND_EXTERNAL_DROP,
  FRONTEND_EXTERNAL_LOCAL,
  FRONTEND_HOST_ALLOWED,
  FRONTEND_INTERNAL_DROP,
  FRONTEND_INTERNAL_LOCAL,
  FRONTEND_LOAD_BALANCER,
  FRONTEND_SNAT_HOST,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SNAT_POD,
  FRONTEND_SOURCE_RANGES,
} from '../../maps-schema/gen/codecs.ts';
import { cidrContains } from '../model/cidr.ts';
import type { CompiledFrontend, ListName } from '../model/compiled.ts';
import { algorithmOfService, choiceFlags } from './algorithm.ts';
import type { NodeContext } from './context.ts';
import { usesDirectReturn } from './forwarding.ts';
import type { EndpointLists } from './lists.ts';
import type { ParsedService } from './service.ts';
import type { Candidate, ServicePort } from './service-ports.ts';

const SNAT_ALL = FRONTEND_SNAT_POD | FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE;

/** A frontend before its endpoints are known. */
export interface Plan {
  readonly candidate: Candidate;
  readonly flags: number;
  readonly internal: ListName;
  readonly external: ListName;
}

/** pods keep their address where they can be told from others. */
function clusterIpSnat(port: ServicePort, context: NodeContext): number {
  if (context.masqueradeAll === true) return SNAT_ALL;
  return context.detectLocal[port.family] ? FRONTEND_SNAT_HOST | FRONTEND_SNAT_OUTSIDE : 0;
}

/** */
function sourceRangeFlags(service: ParsedService, port: ServicePort, context: NodeContext): number {
  const ranges = service.sourceRanges[port.family];
  if (ranges === undefined) return 0;
  const host = context.nodeAddresses?.some((address) => ranges.some((range) => cidrContains(range, address))) ?? false;
  return FRONTEND_SOURCE_RANGES | (host ? FRONTEND_HOST_ALLOWED : 0);
}

/** Policies and address translation of one frontend (R-35…R-43). */
export function planFrontend(
  service: ParsedService,
  port: ServicePort,
  candidate: Candidate,
  context: NodeContext,
): Plan {
  const { kinds } = candidate;
  const choice = choiceFlags(algorithmOfService(service, context));
  if ((kinds & FRONTEND_CLUSTER_IP) !== 0) {
    const list = service.internalLocal ? 'local' : 'cluster';
    const policy = service.internalLocal ? FRONTEND_INTERNAL_LOCAL : 0;
    return { candidate, flags: kinds | policy | choice | clusterIpSnat(port, context), internal: list, external: list };
  }
  const ranges = (kinds & FRONTEND_LOAD_BALANCER) !== 0 ? sourceRangeFlags(service, port, context) : 0;
  if (!service.externalLocal) {
    const direct = usesDirectReturn(service, port, context) ? FRONTEND_DSR : 0;
    return { candidate, flags: kinds | SNAT_ALL | ranges | direct | choice, internal: 'cluster', external: 'cluster' };
  }
  const flags = kinds | FRONTEND_EXTERNAL_LOCAL | FRONTEND_SNAT_HOST | ranges | choice;
  return { candidate, flags, internal: 'cluster', external: 'local' };
}

/** R-28…R-30: a side whose list its policy leaves empty drops; with no usable endpoint at all it refuses. */
export function finishFrontend(plan: Plan, { lists, usable }: EndpointLists): CompiledFrontend {
  const drop = (list: ListName, flag: number) => (usable && lists[list].length === 0 ? flag : 0);
  return {
    address: plan.candidate.address,
    port: plan.candidate.port,
    flags: plan.flags | drop(plan.internal, FRONTEND_INTERNAL_DROP) | drop(plan.external, FRONTEND_EXTERNAL_DROP),
    internal: plan.internal,
    external: plan.external,
  };
}
