/** One manifest file to its objects: YAML (several documents) or JSON, Lists opened. */
import { parseAllDocuments } from 'yaml';
import type { KubernetesObject } from '../model/kubernetes.ts';
import { hasName, stripNode, stripService, stripServiceCidr, stripSlice } from './strip.ts';

/** A file that cannot be read as manifests. `line` counts from 1. */
export class ManifestError extends Error {
  readonly line: number | undefined;

  constructor(message: string, line: number | undefined, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'ManifestError';
    this.line = line;
  }
}

const SERVED: Readonly<Record<string, { apiVersion: string; strip: (object: KubernetesObject) => KubernetesObject }>> =
  {
    Service: { apiVersion: 'v1', strip: stripService },
    EndpointSlice: { apiVersion: 'discovery.k8s.io/v1', strip: stripSlice },
    Node: { apiVersion: 'v1', strip: stripNode },
    ServiceCIDR: { apiVersion: 'networking.k8s.io/v1', strip: stripServiceCidr },
  };

const CLUSTER_SCOPED: ReadonlySet<string> = new Set(['Node', 'ServiceCIDR']);

/**
 * @param name the file's name: `.json` is parsed as JSON, everything else as YAML
 * @returns the Services, EndpointSlices, Nodes and ServiceCIDRs of the file; objects of other kinds are passed over
 * @throws ManifestError
 */
export function parseManifests(name: string, text: string): KubernetesObject[] {
  const documents = name.endsWith('.json') ? [parseJson(text)] : parseYaml(text);
  const objects: KubernetesObject[] = [];
  for (const document of documents) collect(document, undefined, objects, 0);
  return objects;
}

function parseJson(text: string): unknown {
  if (text.trim() === '') return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = (error as Error).message;
    const position = /position (\d+)/.exec(message)?.[1];
    const line = position === undefined ? undefined : text.slice(0, Number(position)).split('\n').length;
    throw new ManifestError(message, line, { cause: error });
  }
}

function parseYaml(text: string): unknown[] {
  return [...parseAllDocuments(text, { logLevel: 'silent' })].map((document) => {
    const [fault] = document.errors;
    if (fault !== undefined)
      throw new ManifestError(fault.message.split('\n')[0] ?? fault.code, fault.linePos?.[0].line);
    try {
      return document.toJS();
    } catch (error) {
      // Aliases that multiply beyond all measure.
      throw new ManifestError((error as Error).message, undefined, { cause: error });
    }
  });
}

function collect(value: unknown, defaultKind: string | undefined, into: KubernetesObject[], depth: number): void {
  if (typeof value !== 'object' || value === null || depth > 4) return;
  const object = value as KubernetesObject & { items?: unknown };
  const kind = object.kind ?? defaultKind;
  if (typeof kind !== 'string') return;
  if (kind.endsWith('List')) {
    if (!Array.isArray(object.items)) return;
    for (const item of object.items) collect(item, kind.slice(0, -4) || undefined, into, depth + 1);
    return;
  }
  const served = Object.hasOwn(SERVED, kind) ? SERVED[kind] : undefined;
  if (served === undefined || (object.apiVersion ?? served.apiVersion) !== served.apiVersion || !hasName(object))
    return;
  const stripped = served.strip({ ...object, kind, apiVersion: served.apiVersion });
  if (!CLUSTER_SCOPED.has(kind) && stripped.metadata && !stripped.metadata.namespace)
    stripped.metadata.namespace = 'default';
  into.push(stripped);
}
