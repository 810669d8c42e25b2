/** Reads and writes of single objects, over HTTP and in process: admission, status, finalizers, ownership. */
import { randomBytes } from 'node:crypto';
import type { Admission } from './admission.ts';
import { badRequest, notFound } from './errors.ts';
import {
  apiVersionOf,
  findResource,
  type KubeObject,
  type Metadata,
  RESOURCES,
  type Resource,
  resourceOfObject,
} from './resources.ts';
import type { Store } from './store.ts';

export interface Objects {
  /** `keepStatus`: take the status of the request as it is. @throws ApiError */
  create(resource: Resource, namespace: string | undefined, body: KubeObject, keepStatus?: boolean): KubeObject;
  /** @throws ApiError */
  update(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    body: KubeObject,
    part: 'spec' | 'status' | 'all',
  ): KubeObject;
  /** An object with finalizers only gets its deletionTimestamp. @throws ApiError 404 */
  remove(resource: Resource, namespace: string | undefined, name: string): KubeObject;
  /** Creates or replaces, with its status, and creates its namespace. @throws ApiError */
  apply(object: KubeObject): KubeObject;
}

const NAMESPACES = findResource('', 'v1', 'namespaces') as Resource;
const SLICES = findResource('discovery.k8s.io', 'v1', 'endpointslices') as Resource;

function checkBody(resource: Resource, body: unknown): asserts body is KubeObject {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw badRequest('the body of the request is not an object');
  const { kind, apiVersion } = body as KubeObject;
  if ((kind ?? resource.kind) !== resource.kind || (apiVersion ?? apiVersionOf(resource)) !== apiVersionOf(resource)) {
    throw badRequest(
      `the object provided is ${apiVersion} ${kind}, expected ${apiVersionOf(resource)} ${resource.kind}`,
    );
  }
}

export function createObjects(store: Store, admission: Admission): Objects {
  /** A copy of the body that admission may change, with the names that its path says. */
  function prepare(
    resource: Resource,
    namespace: string | undefined,
    body: KubeObject,
    metadata: Partial<Metadata>,
  ): KubeObject {
    const copy = structuredClone(body);
    const { managedFields: _managedFields, ...rest } = copy.metadata ?? {};
    const own = { ...rest, ...metadata } as Metadata;
    if (resource.namespaced) own.namespace = namespace ?? own.namespace ?? 'default';
    else delete own.namespace;
    return { ...copy, kind: resource.kind, apiVersion: apiVersionOf(resource), metadata: own };
  }

  function collectOwned(owner: KubeObject): void {
    for (const slice of store.list(SLICES)) {
      if (slice.metadata.ownerReferences?.some((reference) => reference.uid === owner.metadata.uid)) {
        objects.remove(SLICES, slice.metadata.namespace, slice.metadata.name);
      }
    }
  }

  function emptyNamespace(namespace: string): void {
    for (const resource of RESOURCES.filter((r) => r.namespaced)) {
      for (const object of store.list(resource)) {
        const { name } = object.metadata;
        // The removal of a Service takes its slices along.
        if (object.metadata.namespace === namespace && store.get(resource, namespace, name))
          objects.remove(resource, namespace, name);
      }
    }
  }

  const objects: Objects = {
    create(resource, namespace, body, keepStatus = false) {
      checkBody(resource, body);
      const generated = body.metadata?.name ? undefined : body.metadata?.generateName;
      const name =
        generated === undefined ? body.metadata?.name : generated + randomBytes(3).toString('hex').slice(0, 5);
      if (!name) throw badRequest('name or generateName is required');
      const object = prepare(resource, namespace, body, { name });
      if (namespace !== undefined && body.metadata?.namespace && body.metadata.namespace !== namespace) {
        throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
      }
      delete object.metadata.resourceVersion;
      const space = object.metadata.namespace;
      if (space !== undefined && !store.get(NAMESPACES, undefined, space)) throw notFound('namespaces', space);
      if (!keepStatus && resource.kind === 'Service') delete object.status;
      if (!store.get(resource, space, name)) admission.admit(resource, object, undefined);
      return store.create(resource, object);
    },
    update(resource, namespace, name, body, part) {
      checkBody(resource, body);
      const previous = store.get(resource, namespace, name);
      if (!previous) throw notFound(resource.plural, name);
      if (body.metadata?.name && body.metadata.name !== name)
        throw badRequest('the name of the object does not match the name on the URL');
      const object = prepare(resource, namespace, body, { name });
      if (part === 'status') {
        const metadata = { ...previous.metadata, resourceVersion: object.metadata.resourceVersion };
        return store.update(resource, { ...previous, metadata, status: object.status });
      }
      if (part === 'spec' && resource.status) object.status = structuredClone(previous.status);
      if (object.status === undefined) delete object.status;
      const { deletionTimestamp } = previous.metadata;
      if (deletionTimestamp) object.metadata.deletionTimestamp = deletionTimestamp;
      admission.admit(resource, object, previous);
      const stored = store.update(resource, object);
      return deletionTimestamp && !stored.metadata.finalizers?.length
        ? objects.remove(resource, namespace, name)
        : stored;
    },
    remove(resource, namespace, name) {
      const object = store.get(resource, namespace, name);
      if (!object) throw notFound(resource.plural, name);
      if (object.metadata.finalizers?.length) {
        if (object.metadata.deletionTimestamp) return object;
        const metadata = { ...object.metadata, deletionTimestamp: `${new Date().toISOString().slice(0, 19)}Z` };
        return store.update(resource, { ...object, metadata });
      }
      const deleted = store.delete(resource, namespace, name);
      admission.forget(resource, deleted);
      if (resource.kind === 'Service') collectOwned(deleted);
      if (resource.kind === 'Namespace') emptyNamespace(name);
      return deleted;
    },
    apply(object) {
      const resource = resourceOfObject(object);
      if (!resource) throw badRequest(`no such kind: ${object.apiVersion} ${object.kind}`);
      const namespace = resource.namespaced ? (object.metadata.namespace ?? 'default') : undefined;
      if (namespace !== undefined && !store.get(NAMESPACES, undefined, namespace)) {
        objects.create(NAMESPACES, undefined, { metadata: { name: namespace } });
      }
      const previous = store.get(resource, namespace, object.metadata.name);
      if (!previous) return objects.create(resource, namespace, object, true);
      const { resourceVersion: _resourceVersion, ...metadata } = object.metadata;
      const status = object.status ?? previous.status;
      return objects.update(
        resource,
        namespace,
        object.metadata.name,
        { ...object, metadata, ...(status ? { status } : {}) },
        'all',
      );
    },
  };
  return objects;
}
