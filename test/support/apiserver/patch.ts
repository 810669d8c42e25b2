/** The four kinds of PATCH: each makes the new object from the stored one. */
import { parse } from 'yaml';
import { ApiError, badRequest } from './errors.ts';
import type { KubeObject, Resource } from './resources.ts';

// biome-ignore lint/suspicious/noExplicitAny: patches are free-form JSON
type Json = any;

const isMap = (value: Json): value is Record<string, Json> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** RFC 7386. */
export function mergePatch(target: Json, patch: Json): Json {
  if (!isMap(patch)) return patch;
  const result: Record<string, Json> = isMap(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

const POD = 'spec.template.spec';
const CONTAINER_KEYS = { env: 'name', ports: 'containerPort', volumeMounts: 'mountPath' };
/** Lists that are merged by a key instead of replaced; "" marks lists of plain values that are merged as sets. */
const MERGE_KEYS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(['containers', 'initContainers', 'volumes'].map((list) => [`${POD}.${list}`, 'name'])),
  ...Object.fromEntries(
    ['containers', 'initContainers'].flatMap((list) =>
      Object.entries(CONTAINER_KEYS).map(([field, key]) => [`${POD}.${list}[].${field}`, key]),
    ),
  ),
  'spec.ports': 'port',
  'status.conditions': 'type',
  'status.addresses': 'type',
  'metadata.finalizers': '',
  'metadata.ownerReferences': 'uid',
  'spec.podCIDRs': '',
};

/** Understands $patch, $retainKeys, $deleteFromPrimitiveList and $setElementOrder. */
export function strategicMerge(target: Json, patch: Json, path = ''): Json {
  if (!isMap(patch)) return patch;
  if (patch.$patch === 'replace' || patch.$patch === 'delete') {
    const { $patch: directive, ...rest } = patch;
    return directive === 'delete' ? undefined : rest;
  }
  const result: Record<string, Json> = isMap(target) ? { ...target } : {};
  if (Array.isArray(patch.$retainKeys)) {
    for (const key of Object.keys(result)) if (!patch.$retainKeys.includes(key)) delete result[key];
  }
  for (const [key, value] of Object.entries(patch)) {
    const at = path === '' ? key : `${path}.${key}`;
    if (key.startsWith('$deleteFromPrimitiveList/')) {
      const field = key.slice(key.indexOf('/') + 1);
      result[field] = (result[field] ?? []).filter((item: Json) => !value.includes(item));
    } else if (key.startsWith('$')) {
      // Order of elements and retained keys are dealt with elsewhere.
    } else if (value === null) delete result[key];
    else if (Array.isArray(value)) result[key] = mergeLists(result[key], value, at, patch[`$setElementOrder/${key}`]);
    else result[key] = strategicMerge(result[key], value, at);
    if (result[key] === undefined) delete result[key];
  }
  return result;
}

function mergeLists(target: Json, patch: Json[], path: string, order: Json[] | undefined): Json[] {
  const key = MERGE_KEYS[path];
  if (key === undefined || !Array.isArray(target)) return patch.filter((item) => item?.$patch !== 'delete');
  if (key === '') return [...new Set([...target, ...patch])];
  const result = [...target];
  for (const item of patch) {
    // Two ports of one number differ in their protocol.
    const at = result.findIndex(
      (old) => old?.[key] === item?.[key] && (item?.protocol === undefined || old?.protocol === item.protocol),
    );
    if (item?.$patch === 'delete') {
      if (at >= 0) result.splice(at, 1);
    } else if (at >= 0) result[at] = strategicMerge(result[at], item, `${path}[]`);
    else result.push(item);
  }
  if (order === undefined) return result;
  const rank = (item: Json) => {
    const at = order.findIndex(
      (o) => o?.[key] === item?.[key] && (o?.protocol === undefined || o.protocol === item?.protocol),
    );
    return at < 0 ? order.length : at;
  };
  return result.sort((a, b) => rank(a) - rank(b));
}

/** RFC 6902. @throws ApiError 400, 422 */
export function jsonPatch(target: Json, operations: Json): Json {
  if (!Array.isArray(operations)) throw badRequest('a JSON patch is a list of operations');
  const root = { value: structuredClone(target) };
  for (const operation of operations) applyOperation(root, operation);
  return root.value;
}

const failed = (path: string, why: string) =>
  new ApiError(422, 'Invalid', `the server rejected our request: JSON patch at ${path}: ${why}`);

function locate(root: { value: Json }, path: Json): { parent: Json; key: string } {
  if (typeof path !== 'string' || (path !== '' && !path.startsWith('/')))
    throw badRequest('a JSON patch path starts with /');
  const parts = [
    'value',
    ...path
      .split('/')
      .slice(1)
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~')),
  ];
  const key = parts.pop() ?? '';
  let parent: Json = root;
  for (const part of parts) parent = parent?.[part];
  if (typeof parent !== 'object' || parent === null) throw failed(path, 'missing path');
  return { parent, key };
}

function applyOperation(root: { value: Json }, { op, path, from, value }: Json): void {
  const { parent, key } = locate(root, path);
  const remove = (at: { parent: Json; key: string }, where: string): Json => {
    if (!(at.key in at.parent)) throw failed(where, 'missing value');
    const old = at.parent[at.key];
    if (Array.isArray(at.parent)) at.parent.splice(Number(at.key), 1);
    else delete at.parent[at.key];
    return old;
  };
  const add = (added: Json): void => {
    if (Array.isArray(parent)) parent.splice(key === '-' ? parent.length : Number(key), 0, added);
    else parent[key] = added;
  };
  switch (op) {
    case 'add':
      add(value);
      return;
    case 'replace':
      if (!(key in parent)) throw failed(path, 'missing value');
      parent[key] = value;
      return;
    case 'remove':
      remove({ parent, key }, path);
      return;
    case 'move':
      add(remove(locate(root, from), from));
      return;
    case 'copy': {
      const source = locate(root, from);
      add(structuredClone(source.parent[source.key]));
      return;
    }
    case 'test':
      if (JSON.stringify(parent[key]) !== JSON.stringify(value)) throw failed(path, 'test failed');
      return;
    default:
      throw badRequest(`unknown JSON patch operation ${JSON.stringify(op)}`);
  }
}

/** Server-side apply without ownership of fields: what the patch names is set, nothing is taken away. */
export function applyPatch(target: KubeObject | undefined, patch: KubeObject): KubeObject {
  return target === undefined ? patch : strategicMerge(target, patch);
}

/** @returns the patched object; @throws ApiError 400, 415 */
export function patchObject(
  resource: Resource,
  contentType: string,
  body: string,
  current: KubeObject | undefined,
): KubeObject {
  const type = contentType.split(';')[0]?.trim();
  const patch = type === 'application/apply-patch+yaml' ? parse(body) : parseJson(body);
  if (type === 'application/apply-patch+yaml') return applyPatch(current, patch);
  if (type === 'application/merge-patch+json') return mergePatch(current, patch);
  if (type === 'application/strategic-merge-patch+json') return strategicMerge(current, patch);
  if (type === 'application/json-patch+json') return jsonPatch(current, patch);
  throw new ApiError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format: ${type} for ${resource.plural}`,
  );
}

export function parseJson(body: string): Json {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw badRequest(`the body of the request is not JSON: ${(error as Error).message}`);
  }
}
