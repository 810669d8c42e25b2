/** Checks objects as an API server does when it is asked for strict field validation: types, required fields, unknown keys. */
import * as models from '@kubernetes/client-node/dist/gen/models/all.js';
import type { KubernetesObject } from '../../../src/model/kubernetes.ts';

interface Attribute {
  readonly name: string;
  readonly baseName: string;
  readonly type: string;
}
interface Model {
  getAttributeTypeMap(): readonly Attribute[];
}

const modelOf = (type: string): Model | undefined => (models as unknown as Record<string, Model>)[type];

/** @param type as the Kubernetes client names it: `V1DaemonSet`, `Array<V1Container>`, `{ [key: string]: string; }` */
function* unknownKeys(value: unknown, type: string, path: string): Generator<string> {
  const [, item] = /^Array<(.*)>$/.exec(type) ?? [];
  if (item !== undefined && Array.isArray(value)) {
    for (const [i, one] of value.entries()) yield* unknownKeys(one, item, `${path}[${i}]`);
    return;
  }
  const attributes = modelOf(type)?.getAttributeTypeMap?.();
  if (attributes === undefined || typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    const attribute = attributes.find(({ baseName }) => baseName === key);
    if (attribute === undefined) yield `${path}.${key}: unknown key of ${type}`;
    else yield* unknownKeys(inner, attribute.type, `${path}.${key}`);
  }
}

/** The constructor that validates a kind, of the package that has its OpenAPI schema. */
async function schemaOf(apiVersion: string, kind: string): Promise<new (object: object) => { validate(): void }> {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  const name = group?.endsWith('coreos.com') ? '@kubernetes-models/prometheus-operator' : 'kubernetes-models';
  const module = await import([name, group, version].filter(Boolean).join('/'));
  if (module[kind] === undefined) throw new Error(`check ${kind} of ${apiVersion}: ${name} has no such kind`);
  return module[kind];
}

/** @returns what is wrong with the object; nothing when all is well. */
export async function faultsOf(object: KubernetesObject): Promise<string[]> {
  const { apiVersion = '', kind = '' } = object;
  const faults = [...unknownKeys(object, `V1${kind}`, kind)];
  try {
    new (await schemaOf(apiVersion, kind))(object).validate();
  } catch (error) {
    faults.push(`${kind} ${object.metadata?.name}: ${(error as Error).message}`);
  }
  return faults;
}
