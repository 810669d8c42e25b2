/** One path of a JSONPath template: its steps, and what they select. */

export type Step =
  | { readonly kind: 'names'; readonly names: readonly string[] }
  | { readonly kind: 'index'; readonly indices: readonly number[] }
  | { readonly kind: 'slice'; readonly from?: number; readonly to?: number; readonly by: number }
  | { readonly kind: 'all' }
  | { readonly kind: 'deep' }
  | {
      readonly kind: 'where';
      readonly left: Path;
      readonly operator?: string;
      readonly right?: Path | { readonly value: unknown };
    };

export interface Path {
  readonly steps: readonly Step[];
  /** From the whole value: `$`. */
  readonly fromRoot: boolean;
}

const NAME = /^(?:\\.|[^.[\]\s\\])+/;

/** @throws Error that says which part is not known. */
export function parsePath(text: string): Path {
  const steps: Step[] = [];
  let rest = text.replace(/^[@$]/, '');
  if (rest !== '' && !/^[.[]/.test(rest)) throw new Error(`'${text}' is no path: begin with a dot, e.g. {.${rest}}.`);
  while (rest !== '') {
    if (rest.startsWith('[')) {
      const end = endOfBracket(rest);
      steps.push(bracket(rest.slice(1, end).trim()));
      rest = rest.slice(end + 1);
      continue;
    }
    if (rest.startsWith('..')) {
      steps.push({ kind: 'deep' });
      rest = rest.slice(1);
      if (rest.startsWith('.[')) {
        rest = rest.slice(1);
        continue;
      }
    }
    const [name] = NAME.exec(rest.slice(1)) ?? [];
    if (name === undefined) {
      if (rest === '.' || rest.startsWith('.[')) {
        rest = rest.slice(1);
        continue;
      }
      throw new Error(`'${rest}' in '${text}' is no part of a path.`);
    }
    steps.push(name === '*' ? { kind: 'all' } : { kind: 'names', names: [name.replace(/\\(.)/g, '$1')] });
    rest = rest.slice(1 + name.length);
  }
  return { steps, fromRoot: text.startsWith('$') };
}

/** @returns where the bracket closes that the text begins with; brackets in quotes are none. */
function endOfBracket(text: string): number {
  let depth = 0;
  for (const match of text.matchAll(/"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[[\]]/g)) {
    if (match[0] === '[') depth++;
    else if (match[0] === ']' && --depth === 0) return match.index;
  }
  throw new Error(`'${text}' has a bracket that is not closed.`);
}

function bracket(inside: string): Step {
  if (inside === '*') return { kind: 'all' };
  if (/^-?\d+(\s*,\s*-?\d+)*$/.test(inside)) return { kind: 'index', indices: inside.split(',').map(Number) };
  const [, from, to, by] = /^(-?\d*):(-?\d*)(?::(\d+))?$/.exec(inside) ?? [];
  if (from !== undefined) {
    return {
      kind: 'slice',
      ...(from && { from: Number(from) }),
      ...(to && { to: Number(to) }),
      by: Number(by ?? 1) || 1,
    };
  }
  const quoted = /^(["']).*?\1(\s*,\s*(["']).*?\3)*$/.test(inside);
  if (quoted) return { kind: 'names', names: [...inside.matchAll(/(["'])(.*?)\1/g)].map((match) => match[2] ?? '') };
  const [, test] = /^\?\s*\((.*)\)$/s.exec(inside) ?? [];
  if (test !== undefined) return where(test);
  throw new Error(`'[${inside}]' is not known: an index, a slice, *, names in quotes or a test such as ?(@.port==80).`);
}

function where(test: string): Step {
  const [, left = '', operator, right = ''] = /^\s*(\S.*?)\s*(==|!=|<=|>=|<|>)\s*(.*?)\s*$/.exec(test) ?? [
    undefined,
    test.trim(),
  ];
  if (operator === undefined) return { kind: 'where', left: parsePath(left) };
  return {
    kind: 'where',
    left: parsePath(left),
    operator,
    right: /^[@$]/.test(right) ? parsePath(right) : literal(right),
  };
}

function literal(text: string): { value: unknown } {
  const [, , quoted] = /^(["'])(.*)\1$/.exec(text) ?? [];
  if (quoted !== undefined) return { value: quoted };
  try {
    return { value: JSON.parse(text) };
  } catch {
    throw new Error(`'${text}' is no value: text stands in quotes.`);
  }
}

/** @returns the values that a path leads to, in order. */
export function select(path: Path, value: unknown, root: unknown): unknown[] {
  return path.steps.reduce<unknown[]>(
    (values, step) => values.flatMap((one) => take(step, one, root)),
    [path.fromRoot ? root : value],
  );
}

function take(step: Step, value: unknown, root: unknown): unknown[] {
  switch (step.kind) {
    case 'deep':
      return [value, ...childrenOf(value).flatMap((child) => take(step, child, root))];
    case 'all':
      return childrenOf(value);
    case 'names':
      return step.names.flatMap((name) =>
        typeof value === 'object' && value !== null && Object.hasOwn(value, name)
          ? [(value as Record<string, unknown>)[name]]
          : [],
      );
    case 'index':
      return Array.isArray(value)
        ? step.indices.flatMap((index) => value.slice(index, index === -1 ? undefined : index + 1))
        : [];
    case 'slice':
      return Array.isArray(value) ? value.slice(step.from, step.to).filter((_, i) => i % step.by === 0) : [];
    case 'where':
      return childrenOf(value).filter((child) => holds(step, child, root));
  }
}

function childrenOf(value: unknown): unknown[] {
  return typeof value === 'object' && value !== null ? Object.values(value).filter((child) => child !== undefined) : [];
}

function holds({ left, operator, right }: Step & { kind: 'where' }, value: unknown, root: unknown): boolean {
  const found = select(left, value, root);
  if (operator === undefined || right === undefined) return found.length > 0;
  const wanted = 'value' in right ? right.value : select(right, value, root)[0];
  return found.some((one) => compare(one, operator, wanted));
}

function compare(a: unknown, operator: string, b: unknown): boolean {
  if (operator === '==') return a === b;
  if (operator === '!=') return a !== b;
  if (typeof a !== typeof b || (typeof a !== 'number' && typeof a !== 'string')) return false;
  const [x, y] = [a, b as typeof a];
  return operator === '<' ? x < y : operator === '>' ? x > y : operator === '<=' ? x <= y : x >= y;
}
