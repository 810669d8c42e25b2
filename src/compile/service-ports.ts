/** The ports of a Service and the addresses that clients may dial for them. */
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_IP,
  FRONTEND_LOAD_BALANCER,
  FRONTEND_NODE_PORT,
  FRONTEND_ROUTER,
} from '../../maps-schema/gen/codecs.ts';
import type { Address, Family } from '../model/address.ts';
import type { Protocol } from '../model/compiled.ts';
import { exact } from '../model/exact.ts';
import type { ProblemSink } from './problems.ts';
import type { FamilyAddresses } from './service-addresses.ts';
import { type Fields, fault, fieldsOf, isLabel, isPort, itemsOf, protocolOf, show } from './validate.ts';

const MAX_PORTS = 4096;
const MAX_FRONTENDS = 16_384;

/** A frontend as the Service asks for it; another Service may have it already. */
export interface Candidate {
  readonly address: Address;
  readonly port: number;
  /** FRONTEND_CLUSTER_IP, …: several when an external IP is a load-balancer IP too; FRONTEND_ROUTER when nothing else has it. */
  kinds: number;
  /** Names the frontend among all Services: `address port/protocol`. */
  readonly claim: string;
  /** Where the object asks for it. */
  readonly field: string;
}

export interface ServicePort {
  readonly portName: string;
  readonly protocol: Protocol;
  readonly family: Family;
  readonly candidates: readonly Candidate[];
}

interface PortNumbers {
  readonly field: string;
  readonly portName: string;
  readonly protocol: Protocol;
  readonly port: number;
  /** 0: none. */
  readonly nodePort: number;
}

function readPort(value: unknown, field: string, problems: ProblemSink): PortNumbers | undefined {
  const item = fieldsOf(value);
  const portName = item.name ?? '';
  const protocol = protocolOf(item.protocol);
  const port = item.port;
  if (portName !== '' && !isLabel(portName)) problems.add(`${field}.name`, `${show(portName)} is no DNS label`);
  else if (protocol === undefined) problems.add(`${field}.protocol`, `${show(item.protocol)} is not TCP, UDP or SCTP`);
  else if (!isPort(port)) problems.add(`${field}.port`, fault(port, 'is no port'));
  else {
    const nodePort = item.nodePort ?? 0;
    if (nodePort !== 0 && !isPort(nodePort)) problems.add(`${field}.nodePort`, `${show(nodePort)} is no port`);
    return { field, portName, protocol, port, nodePort: isPort(nodePort) ? nodePort : 0 };
  }
  return undefined;
}

/** The frontends of one Service by claim: each leads to one of its ports only. */
type Taken = Map<string, Candidate>;

/** The frontends of one port in one family that no other port of the Service has. */
function candidatesOf(numbers: PortNumbers, of: FamilyAddresses, taken: Taken, problems: ProblemSink): Candidate[] {
  const candidates: Candidate[] = [];
  const add = (address: Address, port: number, kinds: number, field: string) => {
    const claim = `${address} ${port}/${numbers.protocol}`;
    const held = taken.get(claim);
    if (held === undefined) {
      const candidate = { address, port, kinds, claim, field };
      taken.set(claim, candidate);
      candidates.push(candidate);
    } else if ((held.kinds & FRONTEND_CLUSTER_IP) !== 0 || !candidates.includes(held)) {
      problems.add(field, `${claim} is already ${held.field} of this Service`);
    } else held.kinds = ((held.kinds | kinds) & ~FRONTEND_ROUTER) | (held.kinds & kinds & FRONTEND_ROUTER);
  };
  const { port, nodePort } = numbers;
  add(of.clusterIP.address, port, FRONTEND_CLUSTER_IP, of.clusterIP.field);
  for (const { address, field } of of.externalIPs) add(address, port, FRONTEND_EXTERNAL_IP, field);
  for (const { address, field, router } of of.loadBalancerIPs) {
    add(address, port, FRONTEND_LOAD_BALANCER | (router ? FRONTEND_ROUTER : 0), field);
  }
  const any = of.family === 'IPv4' ? '0.0.0.0' : '::';
  if (nodePort !== 0) add(any, nodePort, FRONTEND_NODE_PORT, `${numbers.field}.nodePort`);
  return exact(candidates);
}

/** @returns the usable ports in each family of the Service, with their frontends. */
export function readPorts(spec: Fields, families: readonly FamilyAddresses[], problems: ProblemSink): ServicePort[] {
  const names = new Set<string>();
  const taken: Taken = new Map();
  const ports: ServicePort[] = [];
  const items = itemsOf(spec.ports, 'spec.ports', MAX_PORTS, problems);
  for (let i = 0; i < items.length; i++) {
    const numbers = readPort(items[i], `spec.ports[${i}]`, problems);
    if (numbers === undefined) continue;
    const { portName, protocol, field } = numbers;
    const name = `${portName}/${protocol}`;
    if (names.has(name)) {
      problems.add(`${field}.name`, `${show(portName)} names another ${protocol} port of this Service`);
      continue;
    }
    if (taken.size >= MAX_FRONTENDS) {
      problems.add(field, `the Service has more than ${MAX_FRONTENDS} frontends: this port and the rest are ignored`);
      break;
    }
    names.add(name);
    for (const of of families) {
      const candidates = candidatesOf(numbers, of, taken, problems);
      if (candidates.length > 0) ports.push({ portName, protocol, family: of.family, candidates });
    }
  }
  return exact(ports);
}
