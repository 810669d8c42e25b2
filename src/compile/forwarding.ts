/** Direct server return: which Services ask for it, and what the data path must know of their backends. */
import type { Backend, Protocol } from '../model/compiled.ts';
import { type DirectBackend, FORWARDING_MODES, type ForwardingMode } from '../model/forwarding.ts';
import type { NodeContext } from './context.ts';
import type { PortEndpoint } from './endpoints.ts';
import type { ProblemSink } from './problems.ts';
import type { ParsedService } from './service.ts';
import type { ServicePort } from './service-ports.ts';
import { type Fields, show } from './validate.ts';

export const FORWARDING_MODE_ANNOTATION = 'sluice.io/forwarding-mode';

/** @returns the mode that a Service chooses for itself; undefined: the node's. */
export function readForwardingMode(annotations: Fields, problems: ProblemSink): ForwardingMode | undefined {
  if (!Object.hasOwn(annotations, FORWARDING_MODE_ANNOTATION)) return undefined;
  const value = annotations[FORWARDING_MODE_ANNOTATION];
  const mode = FORWARDING_MODES.find((name) => name === value);
  if (mode === undefined) {
    const field = `metadata.annotations[${FORWARDING_MODE_ANNOTATION}]`;
    problems.add(field, `is ${show(value)}, not ${FORWARDING_MODES.join(', ')}: the mode of the node is used`);
  }
  return mode;
}

function isDirect(mode: ForwardingMode, protocol: Protocol): boolean {
  return mode === 'dsr' || (mode === 'hybrid' && protocol === 'TCP');
}

/**
 * The mode that holds for a Service. One that chooses direct return would have every agent follow every Node, and take
 * what comes encapsulated: not without the administrator's word.
 */
export function forwardingModeOf(service: ParsedService, context: NodeContext): ForwardingMode {
  const chosen = service.forwardingMode;
  if (chosen === undefined || isRefusedMode(service, context)) return context.forwardingMode ?? 'snat';
  return chosen;
}

function isRefusedMode({ forwardingMode = 'snat' }: ParsedService, context: NodeContext): boolean {
  return forwardingMode !== 'snat' && context.mayChooseDirect !== true;
}

/** Reports a choice that is not heard. */
export function reportRefusedMode(service: ParsedService, context: NodeContext, problems: ProblemSink): void {
  if (!isRefusedMode(service, context)) return;
  problems.add(
    `metadata.annotations[${FORWARDING_MODE_ANNOTATION}]`,
    `${service.forwardingMode} is not allowed here: the mode of the node is used; the agent's --watch-nodes lets Services choose it`,
  );
}

/** Do backends of this port on other nodes answer clients from outside directly? Peers must know this node. */
export function usesDirectReturn(service: ParsedService, port: ServicePort, context: NodeContext): boolean {
  return (
    isDirect(forwardingModeOf(service, context), port.protocol) && context.ownAddresses?.[port.family] !== undefined
  );
}

/**
 * Backends here are known whatever this node does itself: another node may send encapsulated packets for
 * them, while modes change. Backends elsewhere only where this node sends some.
 */
export function receivesDirectReturn(port: ServicePort, context: NodeContext): boolean {
  return context.peers !== undefined && context.ownAddresses?.[port.family] !== undefined;
}

/** @returns one row for each address: of endpoints that share one, that with the lowest port. */
export function directBackends(
  endpoints: readonly PortEndpoint[],
  wanted: ReadonlySet<Backend>,
  localOnly: boolean,
  context: NodeContext,
): DirectBackend[] {
  const rows: DirectBackend[] = [];
  let last: string | undefined;
  for (const { endpoint, backend } of endpoints) {
    if (!wanted.has(backend) || backend.address === last || (localOnly && !backend.local)) continue;
    last = backend.address;
    const family = backend.address.includes(':') ? 'IPv6' : 'IPv4';
    const node = backend.local
      ? context.ownAddresses?.[family]
      : context.peers?.get(endpoint.nodeName?.toLowerCase() ?? '')?.[family];
    rows.push({ address: backend.address, port: backend.port, local: backend.local, node });
  }
  return rows;
}
