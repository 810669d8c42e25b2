/**
 * kubectl's JSONPath templates: text, `{.a.b[0]}`, `{.items[*].name}`, `{..name}`, `{["a","b"]}`, `[1:3]`,
 * `[?(@.x=="y")]`, `{range .items[*]}…{end}` and `{"\n"}`.
 */
import { type Path, parsePath, type Step, select } from './jsonpath-path.ts';

type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'path'; readonly path: Path }
  | { readonly kind: 'range'; readonly path: Path; readonly parts: readonly Part[] };

export interface JsonPath {
  /** @returns the text of the template for one value; what is not there is "". */
  render(value: unknown): string;
}

export type { Step };

/** @throws Error that says where the template is wrong. */
export function parseJsonPath(template: string): JsonPath {
  const tokens = tokensOf(template);
  const parts = parseParts(tokens, false);
  return { render: (value) => render(parts, value, value) };
}

interface Token {
  readonly text: string;
  readonly braced: boolean;
}

/** Text, and what stands in braces without them. Braces in quotes are none. */
function tokensOf(template: string): Token[] {
  const tokens: Token[] = [];
  const pattern = /\{((?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^{}"'])*)\}|([^{}]+)/gy;
  let at = 0;
  for (let match = pattern.exec(template); match !== null; match = pattern.exec(template)) {
    at = pattern.lastIndex;
    tokens.push(
      match[1] === undefined ? { text: match[2] ?? '', braced: false } : { text: match[1].trim(), braced: true },
    );
  }
  if (at < template.length) throw new Error(`'${template.slice(at, at + 20)}' has a brace without its other one.`);
  return tokens;
}

function parseParts(tokens: Token[], inRange: boolean): Part[] {
  const parts: Part[] = [];
  for (let token = tokens.shift(); token !== undefined; token = tokens.shift()) {
    const { text, braced } = token;
    if (!braced) parts.push({ kind: 'text', text });
    else if (text === 'end') {
      if (!inRange) throw new Error('{end} is without its {range}.');
      return parts;
    } else if (/^range\s/.test(text)) {
      const path = parsePath(text.slice(5).trim());
      parts.push({ kind: 'range', path, parts: parseParts(tokens, true) });
    } else if (/^["'].*["']$/s.test(text)) parts.push({ kind: 'text', text: unquote(text) });
    else parts.push({ kind: 'path', path: parsePath(text) });
  }
  if (inRange) throw new Error('{range} is without its {end}.');
  return parts;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };

function unquote(text: string): string {
  return text.slice(1, -1).replace(/\\(.)/g, (_, character: string) => ESCAPES[character] ?? character);
}

function render(parts: readonly Part[], value: unknown, root: unknown): string {
  return parts
    .map((part) => {
      if (part.kind === 'text') return part.text;
      const found = select(part.path, value, root);
      if (part.kind === 'range') return found.map((item) => render(part.parts, item, root)).join('');
      return found.map(textOf).join(' ');
    })
    .join('');
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
