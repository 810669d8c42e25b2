/**
 * Who holds which frontend. Two Services may ask for the same address, port and protocol: the one
 * created first keeps it, then the one whose `namespace/name` comes first.
 */

/** A Service as a party to a contest. */
export interface Claimant {
  readonly key: string;
  /** Milliseconds since the epoch. */
  readonly created: number;
  readonly claims: readonly string[];
}

export interface ClaimIndex {
  /**
   * Replaces what a Service claims.
   * @returns keys of other Services that gained, lost or contest a frontend because of it
   */
  update(before: Claimant | undefined, after: Claimant | undefined): ReadonlySet<string>;
  /** @returns the key of the Service that holds the frontend. */
  holder(claim: string): string | undefined;
  /** Frontends that someone claims. */
  readonly size: number;
}

const NOBODY: ReadonlySet<string> = new Set();

function precedes(a: Claimant, b: Claimant): boolean {
  return a.created !== b.created ? a.created < b.created : a.key < b.key;
}

/** Where a claimant is, or belongs, in a list that is oldest first. */
function positionIn(list: readonly Claimant[], claimant: Claimant): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = list[middle];
    if (other !== undefined && precedes(other, claimant)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function sameClaims(a: Claimant, b: Claimant): boolean {
  return (
    a.created === b.created &&
    a.claims.length === b.claims.length &&
    a.claims.every((claim, i) => claim === b.claims[i])
  );
}

export function createClaims(): ClaimIndex {
  /** Almost every frontend has one claimant: a list is made, oldest first, only where there are more. */
  const index = new Map<string, Claimant | Claimant[]>();
  const first = (entry: Claimant | Claimant[] | undefined) => (Array.isArray(entry) ? entry[0] : entry);

  function remove(claim: string, claimant: Claimant): void {
    const entry = index.get(claim);
    if (!Array.isArray(entry)) {
      if (entry?.key === claimant.key) index.delete(claim);
      return;
    }
    const at = positionIn(entry, claimant);
    if (entry[at]?.key === claimant.key) entry.splice(at, 1);
    if (entry.length === 1 && entry[0] !== undefined) index.set(claim, entry[0]);
  }

  function add(claim: string, claimant: Claimant): void {
    const entry = index.get(claim);
    if (entry === undefined) {
      index.set(claim, claimant);
      return;
    }
    const list = Array.isArray(entry) ? entry : [entry];
    list.splice(positionIn(list, claimant), 0, claimant);
    index.set(claim, list);
  }

  /** Notes who holds those claims that more than this Service wants: the others need no look afterwards. */
  function noteContested(claimant: Claimant, noted: Map<string, string> | undefined): Map<string, string> | undefined {
    let result = noted;
    for (const claim of claimant.claims) {
      const entry = index.get(claim);
      const holder = first(entry)?.key;
      if (holder === undefined || (!Array.isArray(entry) && holder === claimant.key)) continue;
      result ??= new Map();
      result.set(claim, holder);
    }
    return result;
  }

  function update(before: Claimant | undefined, after: Claimant | undefined): ReadonlySet<string> {
    if (before !== undefined && after !== undefined && sameClaims(before, after)) return NOBODY;
    let contested = before === undefined ? undefined : noteContested(before, undefined);
    if (after !== undefined) contested = noteContested(after, contested);
    if (before !== undefined) for (const claim of before.claims) remove(claim, before);
    if (after !== undefined) for (const claim of after.claims) add(claim, after);
    if (contested === undefined) return NOBODY;
    const affected = new Set<string>();
    const self = before?.key ?? after?.key;
    for (const [claim, holder] of contested) {
      const entry = index.get(claim);
      if (entry === undefined || first(entry)?.key === holder) continue;
      for (const { key } of Array.isArray(entry) ? entry : [entry]) if (key !== self) affected.add(key);
    }
    return affected;
  }

  return {
    update,
    holder: (claim) => first(index.get(claim))?.key,
    get size() {
      return index.size;
    },
  };
}
