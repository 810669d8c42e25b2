/** Label and field selectors of list and watch requests. */
import { badRequest } from './errors.ts';
import type { KubeObject } from './resources.ts';

export type Predicate = (object: KubeObject) => boolean;

type LabelTest = (labels: Readonly<Record<string, string>>) => boolean;

/** Commas inside parentheses belong to a set. */
function splitTerms(text: string): string[] {
  return text
    .split(/,(?![^(]*\))/)
    .map((term) => term.trim())
    .filter((term) => term !== '');
}

function parseLabelTerm(term: string): LabelTest {
  const set = /^([\w./-]+)\s+(in|notin)\s*\(([^)]*)\)$/.exec(term);
  if (set) {
    const [, key = '', operator, list = ''] = set;
    const values = new Set(list.split(',').map((value) => value.trim()));
    return operator === 'in'
      ? (labels) => key in labels && values.has(labels[key] ?? '')
      : (labels) => !(key in labels) || !values.has(labels[key] ?? '');
  }
  const equality = /^([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)$/.exec(term);
  if (equality) {
    const [, key = '', operator, value = ''] = equality;
    return operator === '!=' ? (labels) => labels[key] !== value : (labels) => labels[key] === value;
  }
  const absence = /^!\s*([\w./-]+)$/.exec(term);
  if (absence) return (labels) => !((absence[1] ?? '') in labels);
  if (/^[\w./-]+$/.test(term)) return (labels) => term in labels;
  throw badRequest(`unable to parse requirement: ${term}`);
}

/** @throws ApiError 400 */
export function parseLabelSelector(text: string): Predicate {
  const tests = splitTerms(text).map(parseLabelTerm);
  return (object) => {
    const labels = object.metadata.labels ?? {};
    return tests.every((test) => test(labels));
  };
}

function valueAt(object: KubeObject, path: string): string {
  let value: unknown = object;
  for (const part of path.split('.')) value = (value as Record<string, unknown> | undefined)?.[part];
  return value === undefined || value === null ? '' : String(value);
}

/** Paths of any field are understood, more than a real server does. @throws ApiError 400 */
export function parseFieldSelector(text: string): Predicate {
  const tests = splitTerms(text).map((term) => {
    const match = /^([\w.]+)\s*(==|=|!=)\s*(.*)$/.exec(term);
    if (!match) throw badRequest(`invalid field selector: ${term}`);
    const [, path = '', operator, value = ''] = match;
    return (object: KubeObject) => (valueAt(object, path) === value) === (operator !== '!=');
  });
  return (object) => tests.every((test) => test(object));
}

/** @throws ApiError 400 */
export function parseSelectors(query: URLSearchParams, namespace: string | undefined): Predicate {
  const tests: Predicate[] = [];
  if (namespace !== undefined) tests.push((object) => object.metadata.namespace === namespace);
  const labels = query.get('labelSelector');
  if (labels) tests.push(parseLabelSelector(labels));
  const fields = query.get('fieldSelector');
  if (fields) tests.push(parseFieldSelector(fields));
  return (object) => tests.every((test) => test(object));
}
