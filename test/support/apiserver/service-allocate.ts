/** Gives a Service its cluster IPs, node ports, health check port and, on request, load-balancer IPs. */
import { parseAddress } from '../../../src/model/address.ts';
import type { AddressPool, Family, PortPool } from './addresses.ts';
import type { Cause } from './errors.ts';
import type { KubeObject } from './resources.ts';
import { isExternallyReachable, needsHealthCheckPort } from './service-defaults.ts';
import { invalidValue } from './validate-service.ts';

export interface Pools {
  /** At most one of a family; the first is the cluster's primary family. */
  readonly clusterIPs: readonly AddressPool[];
  /** Empty: load balancers get no address from the server. */
  readonly loadBalancerIPs: readonly AddressPool[];
  readonly ports: PortPool;
}

/** What of the pools a stored Service holds. */
function held(service: KubeObject | undefined): { addresses: Set<string>; ports: Set<number> } {
  const spec = service?.spec;
  const status = service?.status;
  const ips: unknown[] = [
    ...(spec?.clusterIPs ?? []),
    ...(status?.loadBalancer?.ingress ?? []).map((i: KubeObject) => i?.ip),
  ];
  const numbers: unknown[] = [
    ...(spec?.ports ?? []).map((port: KubeObject) => port?.nodePort),
    spec?.healthCheckNodePort,
  ];
  return {
    addresses: new Set(ips.filter((ip): ip is string => typeof ip === 'string')),
    ports: new Set(numbers.filter((port): port is number => typeof port === 'number')),
  };
}

/** Gives back what `before` holds and `after` does not. */
export function release(pools: Pools, before: KubeObject | undefined, after: KubeObject | undefined): void {
  const old = held(before);
  const kept = held(after);
  for (const address of old.addresses) {
    if (kept.addresses.has(address)) continue;
    for (const pool of [...pools.clusterIPs, ...pools.loadBalancerIPs])
      if (pool.contains(address)) pool.release(address);
  }
  for (const port of old.ports) if (!kept.ports.has(port)) pools.ports.release(port);
}

/** The same pools, and a way to give back all that was taken through them. */
export function reversible(pools: Pools): { pools: Pools; undo: () => void } {
  const undos: (() => void)[] = [];
  const track = <
    T extends string | number,
    P extends { take(x: T): boolean; next(): T | undefined; release(x: T): void },
  >(
    pool: P,
  ): P => ({
    ...pool,
    take(value: T) {
      const taken = pool.take(value);
      if (taken) undos.push(() => pool.release(value));
      return taken;
    },
    next() {
      const value = pool.next();
      if (value !== undefined) undos.push(() => pool.release(value));
      return value;
    },
  });
  return {
    pools: {
      clusterIPs: pools.clusterIPs.map((pool) => track<string, AddressPool>(pool)),
      loadBalancerIPs: pools.loadBalancerIPs.map((pool) => track<string, AddressPool>(pool)),
      ports: track<number, PortPool>(pools.ports),
    },
    undo: () => {
      for (const undo of undos.reverse()) undo();
    },
  };
}

/**
 * Changes `service`, which must be the caller's own copy with its defaults set.
 * @returns what could not be given; then the caller gives back what it did get
 */
export function allocate(pools: Pools, service: KubeObject, previous: KubeObject | undefined): Cause[] {
  const causes: Cause[] = [];
  const fail = (field: string, value: unknown, why: string) =>
    causes.push({ field, reason: 'FieldValueInvalid', message: invalidValue(value, why) });
  const own = held(previous);
  if (service.spec.type !== 'ExternalName') allocateClusterIPs(pools, service.spec, own.addresses, fail);
  if (isExternallyReachable(service.spec)) allocatePorts(pools, service.spec, own.ports, fail);
  return causes;
}

type Fail = (field: string, value: unknown, why: string) => void;

function familiesOf(pools: Pools, spec: KubeObject, fail: Fail): Family[] {
  const available = pools.clusterIPs.map((pool) => pool.family);
  const headless = spec.clusterIP === 'None';
  const given: Family[] = (spec.clusterIPs ?? [])
    .filter((ip: string) => ip !== 'None')
    .map((ip: string) => (ip.includes(':') ? 'IPv6' : 'IPv4'));
  const wanted: Family[] =
    spec.ipFamilies?.length > 0 ? [...spec.ipFamilies] : given.length > 0 ? given : available.slice(0, 1);
  spec.ipFamilyPolicy ??= wanted.length > 1 ? 'RequireDualStack' : 'SingleStack';
  if (spec.ipFamilyPolicy === 'SingleStack') return wanted.slice(0, 1);
  const families = [...wanted, ...available.filter((family) => !wanted.includes(family))].slice(0, 2);
  if (spec.ipFamilyPolicy === 'RequireDualStack' && available.length < 2 && !headless) {
    fail('spec.ipFamilyPolicy', spec.ipFamilyPolicy, 'this cluster is not configured for dual-stack services');
  }
  return families;
}

function allocateClusterIPs(pools: Pools, spec: KubeObject, own: ReadonlySet<string>, fail: Fail): void {
  if (spec.clusterIP && !(spec.clusterIPs?.length > 0)) spec.clusterIPs = [spec.clusterIP];
  if (!spec.clusterIP && spec.clusterIPs?.length > 0) spec.clusterIP = spec.clusterIPs[0];
  const families = familiesOf(pools, spec, fail);
  spec.ipFamilies = families;
  if (spec.clusterIP === 'None') {
    spec.clusterIPs = ['None'];
    return;
  }
  const asked: string[] = (spec.clusterIPs ?? []).map((ip: string) => parseAddress(ip) ?? ip);
  const ips: string[] = [];
  for (const [i, family] of families.entries()) {
    const pool = pools.clusterIPs.find((p) => p.family === family);
    if (!pool) {
      fail(`spec.ipFamilies[${i}]`, family, 'not configured on this cluster');
      continue;
    }
    const ip = asked.find((address) => address.includes(':') === (family === 'IPv6')) ?? pool.next();
    if (ip === undefined) fail('spec.clusterIPs', null, `failed to allocate IP ${i}: range is full`);
    else if (!pool.contains(ip))
      fail(
        'spec.clusterIPs',
        asked,
        `failed to allocate IP ${ip}: the provided IP is not in the valid range ${pool.cidr}`,
      );
    else if (asked.includes(ip) && !own.has(ip) && !pool.take(ip)) {
      fail('spec.clusterIPs', asked, `failed to allocate IP ${ip}: provided IP is already allocated`);
    } else ips.push(ip);
  }
  spec.clusterIP = ips[0];
  spec.clusterIPs = ips;
}

function allocatePorts(pools: Pools, spec: KubeObject, own: ReadonlySet<number>, fail: Fail): void {
  const mine = new Set(own);
  const take = (field: string, port: number) => {
    if (!mine.has(port) && !pools.ports.take(port)) fail(field, port, 'provided port is already allocated');
    else mine.add(port);
  };
  const ports: KubeObject[] = spec.ports ?? [];
  for (const [i, port] of ports.entries())
    if (typeof port.nodePort === 'number') take(`spec.ports[${i}].nodePort`, port.nodePort);
  if (spec.type === 'NodePort' || spec.allocateLoadBalancerNodePorts !== false) {
    for (const port of ports) port.nodePort ??= pools.ports.next();
  }
  if (!needsHealthCheckPort(spec)) return;
  if (typeof spec.healthCheckNodePort === 'number' && spec.healthCheckNodePort > 0)
    take('spec.healthCheckNodePort', spec.healthCheckNodePort);
  else spec.healthCheckNodePort = pools.ports.next();
}

/** Fills status.loadBalancer from the pools, as a cloud's controller would; without pools only clears what no longer applies. */
export function setLoadBalancerStatus(pools: Pools, service: KubeObject): void {
  if (service.spec.type !== 'LoadBalancer') {
    service.status = { loadBalancer: {} };
    return;
  }
  service.status ??= { loadBalancer: {} };
  if (
    pools.loadBalancerIPs.length === 0 ||
    service.spec.loadBalancerClass ||
    service.status.loadBalancer?.ingress?.length > 0
  )
    return;
  const ips = (service.spec.ipFamilies as Family[]).flatMap((family) => {
    const ip = pools.loadBalancerIPs.find((pool) => pool.family === family)?.next();
    return ip === undefined ? [] : [ip];
  });
  if (ips.length > 0)
    service.status = { ...service.status, loadBalancer: { ingress: ips.map((ip) => ({ ip, ipMode: 'VIP' })) } };
}
