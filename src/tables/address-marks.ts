/**
 * What service_addresses must say: of every address that frontends in the kernel have, whether one of
 * them has it as a cluster IP, and whether a ServicePort there has a backend, so that pings are
 * answered. An external IP alone has none answered: it may be any host's. Several ServicePorts may share an address:
 * marks are counted, not searched.
 */
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_LOAD_BALANCER,
  mark,
  SERVICE_ADDRESS_CLUSTER_IP,
  SERVICE_ADDRESS_PING,
} from '../../maps-schema/gen/codecs.ts';
import { exact } from '../model/exact.ts';
import type { RowTable } from './row-table.ts';
import {
  FRONTEND_EXTERNAL_COUNT,
  FRONTEND_FLAGS,
  FRONTEND_INTERNAL_COUNT,
  isWildcard,
  serviceAddressKeyOfFrontend,
} from './rows.ts';
import type { AddressMark, OnFailure, PortState, Stores } from './state.ts';

/** Frontends of an address, and how many of them bring each flag. */
interface Tally {
  frontends: number;
  clusterIp: number;
  ping: number;
}

/** Kinds of frontends whose address is the Service's alone. */
const ANSWERS_PINGS = FRONTEND_CLUSTER_IP | FRONTEND_LOAD_BALANCER;

/** Rows that `write` looks at in a step. */
const STEP_ADDRESSES = 512;

const NO_MARKS: readonly AddressMark[] = [];
const value = Buffer.alloc(mark.size);

export class AddressMarks {
  readonly #tallies = new Map<string, Tally>();
  /** Rows to compare with the kernel's, each with a ServicePort that has the address and is to blame for a failure. */
  readonly #touched = new Map<string, PortState | undefined>();

  /** Has every row that the kernel has compared by the next `write`, also rows of addresses that nobody has. */
  touchAll({ serviceAddresses }: Stores): void {
    for (const key of serviceAddresses.keys()) this.#touched.set(key, undefined);
  }

  /**
   * Takes in what the kernel's frontends of a port say, once they are written; those about to be
   * deleted do not count.
   * @param failed the frontends may be those of before: they say themselves whether they have backends
   */
  update(stores: Stores, port: PortState, failed: boolean): void {
    const before = port.marks;
    const marks = marksOf(stores, port, failed);
    for (const { key } of before) this.#touched.set(key, undefined);
    for (const { key } of marks) this.#touched.set(key, port);
    if (sameMarks(before, marks)) return;
    for (const { key, flags } of before) this.#count(key, flags, -1);
    for (const { key, flags } of marks) this.#count(key, flags, 1);
    port.marks = exact(marks);
  }

  /**
   * Writes the rows that differ from the kernel's, some a step: those that go before those that come. A row that
   * failed is tried again with its port; without one it stays touched.
   */
  *write({ serviceAddresses }: Stores, onFailure: OnFailure): Generator<void> {
    let touched: [string, PortState | undefined][] = [];
    const flush = (): void => {
      serviceAddresses.flushDeletes(onFailure);
      serviceAddresses.flushUpdates(onFailure);
      for (const [key, port] of touched) this.#settle(serviceAddresses, key, port);
      touched = [];
    };
    for (const [key, port] of [...this.#touched].sort((a, b) => this.#order(a[0]) - this.#order(b[0]))) {
      const tally = this.#tallies.get(key);
      if (tally === undefined) serviceAddresses.stageDelete(key);
      else {
        mark.write(value, 0, { flags: flagsOf(tally) });
        serviceAddresses.stage(key, value, 0, port);
      }
      if (touched.push([key, port]) < STEP_ADDRESSES) continue;
      flush();
      yield;
    }
    flush();
  }

  #order(key: string): number {
    return this.#tallies.has(key) ? 1 : 0;
  }

  #settle(serviceAddresses: RowTable, key: string, port: PortState | undefined): void {
    const tally = this.#tallies.get(key);
    const flags = serviceAddresses.value(key)?.readUInt32LE(0);
    if (port !== undefined || flags === (tally && flagsOf(tally))) this.#touched.delete(key);
  }

  #count(key: string, flags: number, by: 1 | -1): void {
    let tally = this.#tallies.get(key);
    if (tally === undefined) {
      tally = { frontends: 0, clusterIp: 0, ping: 0 };
      this.#tallies.set(key, tally);
    }
    tally.frontends += by;
    if (flags & SERVICE_ADDRESS_CLUSTER_IP) tally.clusterIp += by;
    if (flags & SERVICE_ADDRESS_PING) tally.ping += by;
    if (tally.frontends === 0) this.#tallies.delete(key);
  }
}

function flagsOf({ clusterIp, ping }: Tally): number {
  return (clusterIp > 0 ? SERVICE_ADDRESS_CLUSTER_IP : 0) | (ping > 0 ? SERVICE_ADDRESS_PING : 0);
}

/** One mark for each frontend of the port that the kernel has and goes on having. */
function marksOf({ frontends, claims }: Stores, port: PortState, failed: boolean): readonly AddressMark[] {
  const lists = port.desired?.lists;
  const desired = lists !== undefined && (lists.cluster.length > 0 || lists.local.length > 0);
  let marks: AddressMark[] | undefined;
  for (const key of port.keys) {
    if (isWildcard(key) || frontends.owner(key) !== port || claims.winner(key) !== port) continue;
    const flags = frontends.field(key, FRONTEND_FLAGS);
    const backed = failed
      ? frontends.field(key, FRONTEND_INTERNAL_COUNT) > 0 || frontends.field(key, FRONTEND_EXTERNAL_COUNT) > 0
      : desired;
    const ping = backed && (flags & ANSWERS_PINGS) !== 0;
    const clusterIp = (flags & FRONTEND_CLUSTER_IP) !== 0;
    marks ??= [];
    marks.push({
      key: serviceAddressKeyOfFrontend(key),
      flags: (clusterIp ? SERVICE_ADDRESS_CLUSTER_IP : 0) | (ping ? SERVICE_ADDRESS_PING : 0),
    });
  }
  return marks ?? NO_MARKS;
}

function sameMarks(a: readonly AddressMark[], b: readonly AddressMark[]): boolean {
  return a.length === b.length && a.every(({ key, flags }, i) => key === b[i]?.key && flags === b[i]?.flags);
}
