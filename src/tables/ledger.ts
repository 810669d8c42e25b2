/**
 * What each ServicePort takes of the tables, and who may take more. What is in force is never pushed out:
 * only what grows is asked for its budget.
 */
import { type Budgets, ESSENTIAL_PERCENT } from '../model/budgets.ts';
import type { CompiledServicePort } from '../model/compiled.ts';
import { choiceLength } from './choice.ts';

/** Tables with an entry for each of something that a Service asks for, by the name that people know them by. */
export const BUDGETED = [
  'frontends',
  'backend_slots',
  'backend_states',
  'service_ports',
  'source_ranges',
  'affinity_members',
  'dsr_backends',
] as const;

/** Entries of each table, in the order of BUDGETED. */
export type Cost = readonly number[];

/** Who is charged; `charged` is the ledger's own. */
export interface Debtor {
  /** `namespace/name` of its Service. */
  readonly service: string;
  /** What the cluster stands on: no budget is asked of it. */
  readonly essential: boolean;
  charged: Cost | undefined;
}

const NOTHING: Cost = BUDGETED.map(() => 0);

/** @param frontends that the port has of those that it asks for @param used lists that they lead to */
export function costOf(
  { lists, algorithm, affinitySeconds, sourceRanges, directBackends }: CompiledServicePort,
  frontends: number,
  used: Readonly<Record<'cluster' | 'local', boolean>>,
): Cost {
  const cluster = used.cluster ? lists.cluster.length : 0;
  const local = used.local ? lists.local.length : 0;
  // Equal lists share their slots.
  const backends = cluster === local ? cluster : cluster + local;
  const clusterSlots = used.cluster ? choiceLength(algorithm, lists.cluster) : 0;
  const localSlots = used.local ? choiceLength(algorithm, lists.local) : 0;
  const slots = backends + (cluster === local ? clusterSlots || localSlots : clusterSlots + localSlots);
  const members = affinitySeconds > 0 ? backends : 0;
  const direct = directBackends?.length ?? 0;
  return [frontends, slots, Math.max(cluster, local), 1, sourceRanges.length, members, direct];
}

export class Ledger {
  readonly #budgets: Budgets | undefined;
  readonly #rooms: Cost;
  readonly #total = [...NOTHING];
  readonly #services = new Map<string, number[]>();
  readonly #namespaces = new Map<string, number[]>();
  #freed = false;

  /** @param budgets undefined: everybody may have everything @param rooms entries of each table, in the order of BUDGETED */
  constructor(budgets: Budgets | undefined, rooms: Cost) {
    this.#budgets = budgets;
    this.#rooms = rooms;
  }

  /** Entries of a table that are kept for what is essential. */
  reserve(table: (typeof BUDGETED)[number]): number {
    const room = this.#rooms[BUDGETED.indexOf(table)] ?? 0;
    return this.#budgets === undefined ? 0 : Math.ceil((room * ESSENTIAL_PERCENT) / 100);
  }

  /**
   * Slots that must stay free when a list of so many is laid out anew: those of before rest for a while, so whoever has
   * long lists and changes them without end would leave no room for the small changes of others.
   */
  spareSlots(length: number, essential: boolean): number {
    if (this.#budgets === undefined || essential) return 0;
    return Math.max(this.reserve('backend_slots'), Math.min(length, (this.#rooms[1] ?? 0) >> 3));
  }

  /** Charges what is in force already, as found in the kernel. */
  charge(port: Debtor, cost: Cost): void {
    this.#add(port, cost);
  }

  /** The port is gone. */
  release(port: Debtor): void {
    if (port.charged !== undefined) this.#add(port, NOTHING);
    port.charged = undefined;
  }

  /** Charges what is wanted. @returns why it may not be had, with what to do; nothing is charged then. */
  ask(port: Debtor, cost: Cost): string | undefined {
    const refusal = port.essential ? undefined : this.#refusal(port, cost);
    if (refusal === undefined) this.#add(port, cost);
    return refusal;
  }

  /** @returns whether something was given back since the last call: whoever waits may ask again. */
  takeFreed(): boolean {
    const freed = this.#freed;
    this.#freed = false;
    return freed;
  }

  #refusal({ service, charged = NOTHING }: Debtor, cost: Cost): string | undefined {
    const budgets = this.#budgets;
    if (budgets === undefined) return undefined;
    for (const [i, table] of BUDGETED.entries()) {
      const more = (cost[i] ?? 0) - (charged[i] ?? 0);
      if (more <= 0) continue;
      const room = this.#rooms[i] ?? 0;
      const over = (used: number, most: number) => used + more > most;
      const part = (percent: number) => Math.floor((room * percent) / 100);
      const { servicePercent, namespacePercent } = budgets;
      const own = this.#services.get(service)?.[i] ?? 0;
      if (over(own, part(servicePercent)))
        return refused(table, own + more, part(servicePercent), 'one Service', '--service-budget');
      const shared = this.#namespaces.get(namespaceOf(service))?.[i] ?? 0;
      if (over(shared, part(namespacePercent)))
        return refused(table, shared + more, part(namespacePercent), 'one namespace', '--namespace-budget');
      if (over(this.#total[i] ?? 0, room - this.reserve(table)))
        return `map ${table} is full but for what is kept for ${budgets.essential.join(', ')}: ${ADVICE}`;
    }
    return undefined;
  }

  #add(port: Debtor, cost: Cost): void {
    const before = port.charged ?? NOTHING;
    const sums = [
      this.#total,
      sumsOf(this.#services, port.service),
      sumsOf(this.#namespaces, namespaceOf(port.service)),
    ];
    for (let i = 0; i < BUDGETED.length; i++) {
      const more = (cost[i] ?? 0) - (before[i] ?? 0);
      if (more === 0) continue;
      if (more < 0) this.#freed = true;
      for (const sum of sums) sum[i] = (sum[i] ?? 0) + more;
    }
    port.charged = cost;
    this.#forgetEmpty(this.#services, port.service);
    this.#forgetEmpty(this.#namespaces, namespaceOf(port.service));
  }

  #forgetEmpty(sums: Map<string, number[]>, name: string): void {
    if (sums.get(name)?.every((sum) => sum === 0)) sums.delete(name);
  }
}

const ADVICE = 'what does not fit is not served; use fewer ports or endpoints, older Services go on as they are';

function refused(table: string, wanted: number, most: number, whose: string, flag: string): string {
  return `needs ${wanted} entries of map ${table}, and ${whose} may have ${most} (${flag}): ${ADVICE}`;
}

const namespaceOf = (service: string) => service.slice(0, service.indexOf('/'));

function sumsOf(sums: Map<string, number[]>, name: string): number[] {
  let sum = sums.get(name);
  if (sum === undefined) {
    sum = [...NOTHING];
    sums.set(name, sum);
  }
  return sum;
}
