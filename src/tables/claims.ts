/** Who a frontend belongs to. Of several Services that claim one, the oldest keeps it. */
import type { PortState } from './state.ts';

export class Claims {
  readonly #claimants = new Map<string, PortState | PortState[]>();

  /** @returns the claimant that has the frontend. */
  winner(key: string): PortState | undefined {
    const claimants = this.#claimants.get(key);
    return Array.isArray(claimants) ? claimants[0] : claimants;
  }

  /** Adds a claim. @returns the claimant that loses the frontend by it. */
  add(key: string, port: PortState): PortState | undefined {
    const claimants = this.#claimants.get(key);
    if (claimants === undefined) {
      this.#claimants.set(key, port);
      return undefined;
    }
    const all = Array.isArray(claimants) ? claimants : [claimants];
    const before = all[0];
    all.push(port);
    all.sort(bySeniority);
    this.#claimants.set(key, all);
    return all[0] === before ? undefined : before;
  }

  /** Takes a claim back. @returns the claimant that gains the frontend by it. */
  remove(key: string, port: PortState): PortState | undefined {
    const claimants = this.#claimants.get(key);
    if (!Array.isArray(claimants)) {
      if (claimants === port) this.#claimants.delete(key);
      return undefined;
    }
    const wasFirst = claimants[0] === port;
    const rest = claimants.filter((claimant) => claimant !== port);
    const only = rest.length === 1 ? rest[0] : undefined;
    this.#claimants.set(key, only ?? rest);
    return wasFirst ? rest[0] : undefined;
  }
}

function bySeniority(a: PortState, b: PortState): number {
  return a.created - b.created || (a.name < b.name ? -1 : 1);
}
