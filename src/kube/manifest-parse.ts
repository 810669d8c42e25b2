/** One manifest file to its objects, with a line for people for each that cannot be taken. */
import type { KubernetesObject } from '../model/kubernetes.ts';
import { readDocuments } from './manifest-documents.ts';
import { completeSlice, sliceOfBeta } from './manifest-slices.ts';
import { type Endpoints, type Pod, stripEndpoints, stripPod } from './manifest-workloads.ts';
import { stripForOptOut } from './socket-opt-outs.ts';
import { hasName, stripNode, stripService, stripServiceCidr, stripSlice } from './strip.ts';

export interface ParsedManifests {
  readonly objects: readonly KubernetesObject[];
  /** Documents or items that are passed over, and why. */
  readonly faults: readonly string[];
  /** What was taken otherwise than it may have been meant. */
  readonly notes: readonly string[];
  /** Kinds that make no difference to a proxy, with how many there are. */
  readonly others: ReadonlyMap<string, number>;
}

type Reader = (object: KubernetesObject) => KubernetesObject;

const slices = 'discovery.k8s.io';
/** By kind, then by version. The first is what a person is told to write. */
const SERVED: Readonly<Record<string, Readonly<Record<string, Reader>>>> = {
  Service: { v1: stripService },
  EndpointSlice: {
    [`${slices}/v1`]: (object) => completeSlice(stripSlice(object)),
    [`${slices}/v1beta1`]: (object) => completeSlice(stripSlice(sliceOfBeta(object))),
  },
  Endpoints: { v1: (object) => stripEndpoints(object as Endpoints) },
  Pod: { v1: (object) => stripPod(object as Pod) },
  Namespace: { v1: stripForOptOut },
  Node: { v1: stripNode },
  ServiceCIDR: { 'networking.k8s.io/v1': stripServiceCidr, 'networking.k8s.io/v1beta1': stripServiceCidr },
};

const CLUSTER_SCOPED: ReadonlySet<string> = new Set(['Namespace', 'Node', 'ServiceCIDR']);
const MAX_DEPTH = 4;

/** Never throws: what is wrong is among the faults. */
export function parseManifests(text: string): ParsedManifests {
  const objects: KubernetesObject[] = [];
  const faults: string[] = [];
  const notes: string[] = [];
  const others = new Map<string, number>();
  for (const document of readDocuments(text)) {
    notes.push(...document.notes);
    if (document.fault !== undefined) faults.push(document.fault);
    else if (document.value !== null && document.value !== undefined)
      collect(document.value, {}, `line ${document.line}`, 0);
  }
  return { objects, faults, notes, others };

  function collect(value: unknown, list: { kind?: string; apiVersion?: string }, where: string, depth: number): void {
    const object = value as KubernetesObject & { items?: unknown };
    const kind = typeof value === 'object' && value !== null ? (object.kind ?? list.kind) : undefined;
    if (typeof kind !== 'string') {
      faults.push(`${where}: this is no object of Kubernetes, for it has no kind`);
      return;
    }
    if (kind.endsWith('List')) {
      if (!Array.isArray(object.items)) faults.push(`${where}: ${kind} has no list of items`);
      else if (depth >= MAX_DEPTH) faults.push(`${where}: Lists lie more than ${MAX_DEPTH} deep in each other`);
      else {
        const inner = kind === 'List' ? {} : { kind: kind.slice(0, -4), apiVersion: object.apiVersion };
        for (const [i, item] of object.items.entries()) collect(item, inner, `${where}, items[${i}]`, depth + 1);
      }
      return;
    }
    const versions = Object.hasOwn(SERVED, kind) ? SERVED[kind] : undefined;
    if (versions === undefined) {
      others.set(kind, (others.get(kind) ?? 0) + 1);
      return;
    }
    if (!hasName(object)) {
      faults.push(`${where}: this ${kind} has no metadata.name`);
      return;
    }
    const [usual = ''] = Object.keys(versions);
    const apiVersion = object.apiVersion ?? list.apiVersion ?? usual;
    const read = Object.hasOwn(versions, apiVersion) ? versions[apiVersion] : undefined;
    // A kind of the same name of somebody else's API, such as Knative's Service, is no fault.
    if (read === undefined) {
      if (groupOf(apiVersion) === groupOf(usual))
        faults.push(
          `${where}: ${kind} ${object.metadata?.name} is of ${apiVersion}, which is not read: write ${usual}`,
        );
      else others.set(`${kind} of ${apiVersion}`, (others.get(`${kind} of ${apiVersion}`) ?? 0) + 1);
      return;
    }
    const stripped = read({ ...object, kind, apiVersion: usual });
    if (!CLUSTER_SCOPED.has(kind) && stripped.metadata && !stripped.metadata.namespace)
      stripped.metadata.namespace = 'default';
    objects.push(stripped);
  }
}

function groupOf(apiVersion: unknown): string {
  const text = String(apiVersion);
  return text.includes('/') ? text.slice(0, text.indexOf('/')) : '';
}
