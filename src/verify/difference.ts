/** One thing that is not as the agent wants it. */
export interface Difference {
  readonly kind: 'missing' | 'unexpected' | 'different';
  /** `namespace/name` of the Service, or the node's name. */
  readonly object: string;
  /** Where: the name of a map, `links`, `programs` or `settings`. */
  readonly where: string;
  readonly row: string;
  /** "": nothing. */
  readonly is: string;
  readonly shouldBe: string;
  readonly advice: string;
}

export type Finding = Omit<Difference, 'advice'>;

/** Differences are the same when all of this is. */
export const textOf = ({ kind, object, where, row, is, shouldBe }: Finding) =>
  [kind, object, where, row, is, shouldBe].join('\n');

/** @returns what two tables of texts differ in; a row that is no part of `wanted` is unexpected. */
export function compareTexts(
  where: string,
  object: string,
  wanted: ReadonlyMap<string, string>,
  actual: ReadonlyMap<string, string>,
): Finding[] {
  const found: Finding[] = [];
  for (const [row, shouldBe] of wanted) {
    const is = actual.get(row);
    if (is === undefined) found.push({ kind: 'missing', object, where, row, is: '', shouldBe });
    else if (is !== shouldBe) found.push({ kind: 'different', object, where, row, is, shouldBe });
  }
  for (const [row, is] of actual)
    if (!wanted.has(row)) found.push({ kind: 'unexpected', object, where, row, is, shouldBe: '' });
  return found;
}
