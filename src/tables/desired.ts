/** What is desired: the compiled Services, by ServicePort, and which ports a change touches. */

import { frontendKey } from '../../maps-schema/gen/codecs.ts';
import { type CompiledService, type Problem, servicePortName } from '../model/compiled.ts';
import { exact } from '../model/exact.ts';
import { decodeKey, frontendKeyOf } from './rows.ts';
import { createPortState, type PortState, type Stores } from './state.ts';

export interface Delta {
  /** Services that are new or changed. */
  readonly changed: readonly CompiledService[];
  /** `namespace/name` of Services that are gone. */
  readonly removed: readonly string[];
}

export class Desired {
  readonly #stores: Stores;
  readonly #services = new Map<string, readonly PortState[]>();

  constructor(stores: Stores) {
    this.#stores = stores;
  }

  /** Desired Services. */
  get size(): number {
    return this.#services.size;
  }

  /**
   * Takes a delta in, a Service a step. Adds to `touched` every port whose rows it may change.
   * @returns what is wrong with the objects.
   */
  *merge(delta: Delta, complete: boolean, touched: Set<PortState>): Generator<void, Problem[]> {
    const problems: Problem[] = [];
    for (const key of delta.removed) {
      this.#drop(key, touched);
      yield;
    }
    if (complete) {
      const wanted = new Set(delta.changed.map((service) => `${service.namespace}/${service.name}`));
      for (const key of [...this.#services.keys()]) if (!wanted.has(key)) this.#drop(key, touched);
      for (const port of this.#stores.ports.values()) if (port.desired === undefined) touched.add(port);
    }
    const changed: PortState[] = [];
    for (const service of delta.changed) {
      for (const port of this.#set(service, touched, problems)) changed.push(port);
      yield;
    }
    for (const port of changed) {
      this.#reportLost(port, problems);
      yield;
    }
    return problems;
  }

  #drop(key: string, touched: Set<PortState>): void {
    for (const port of this.#services.get(key) ?? []) this.#withdraw(port, touched);
    this.#services.delete(key);
  }

  /** The port is desired no more; whoever waited for its frontends gets them. */
  #withdraw(port: PortState, touched: Set<PortState>): void {
    touched.add(port);
    for (const key of port.keys) {
      this.#stores.reservedPorts.remove(key);
      const heir = this.#stores.claims.remove(key, port);
      if (heir !== undefined) touched.add(heir);
    }
    port.desired = undefined;
    port.frontends = [];
    port.keys = [];
  }

  #set(service: CompiledService, touched: Set<PortState>, problems: Problem[]): PortState[] {
    const serviceKey = `${service.namespace}/${service.name}`;
    for (const port of this.#services.get(serviceKey) ?? []) this.#withdraw(port, touched);
    const ports: PortState[] = [];
    for (const desired of service.ports) {
      const name = servicePortName(desired);
      let port = this.#stores.ports.get(name);
      if (port?.desired !== undefined) {
        problems.push(problemOf(service, 'spec.ports', `two ports are named ${name}: the first is served`));
        continue;
      }
      if (port === undefined) {
        port = createPortState(name, serviceKey, 0, this.#stores.isEssential(serviceKey));
        this.#stores.ports.set(name, port);
      }
      port.desired = desired;
      port.created = service.created;
      try {
        this.#claim(port, touched);
      } catch (error) {
        problems.push(problemOf(service, 'spec.ports', `${name}: ${error instanceof Error ? error.message : error}`));
      }
      touched.add(port);
      ports.push(port);
    }
    if (ports.length > 0 || service.ports.length === 0) this.#services.set(serviceKey, exact(ports));
    return ports;
  }

  #claim(port: PortState, touched: Set<PortState>): void {
    const frontends = port.desired?.frontends ?? [];
    const protocol = port.desired?.protocol ?? 'TCP';
    const keys = frontends.map(({ address, port: number }) => frontendKeyOf(address, number, protocol));
    const twice = keys.some((key, i) => keys.indexOf(key) !== i);
    port.frontends = twice ? frontends.filter((_, i) => keys.indexOf(keys[i] ?? '') === i) : frontends;
    port.keys = twice ? [...new Set(keys)] : keys;
    for (const key of port.keys) {
      this.#stores.reservedPorts.add(key);
      const loser = this.#stores.claims.add(key, port);
      if (loser !== undefined) touched.add(loser);
    }
  }

  #reportLost(port: PortState, problems: Problem[]): void {
    for (const key of port.keys) {
      const winner = this.#stores.claims.winner(key);
      if (winner === undefined || winner === port || port.desired === undefined) continue;
      const { address, port: number } = decodeKey(frontendKey, key);
      problems.push({
        kind: 'Service',
        namespace: port.desired.namespace,
        name: port.desired.service,
        field: 'spec',
        message: `${address} port ${number}/${port.desired.protocol} belongs to the older Service ${winner.service}: not served for this one`,
      });
    }
  }
}

function problemOf(service: CompiledService, field: string, message: string): Problem {
  return { kind: 'Service', namespace: service.namespace, name: service.name, field, message };
}
