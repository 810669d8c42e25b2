/** What a request asks for: its path and query in the API's own terms. */
import { findResource, type Resource } from './resources.ts';

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

export interface RequestInfo {
  readonly resource: Resource;
  readonly verb: Verb;
  /** undefined: every namespace, or a resource without one. */
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  readonly query: URLSearchParams;
}

function isTrue(value: string | null): boolean {
  return value === 'true' || value === '1' || value === '';
}

function verbOf(method: string, name: string | undefined, query: URLSearchParams): Verb | undefined {
  switch (method) {
    case 'GET':
    case 'HEAD':
      if (isTrue(query.get('watch'))) return 'watch';
      return name === undefined ? 'list' : 'get';
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return name === undefined ? 'deletecollection' : 'delete';
    default:
      return undefined;
  }
}

/** @returns undefined for a path that is no resource of the server. */
export function parseRequest(method: string, url: URL): RequestInfo | undefined {
  const parts = url.pathname
    .split('/')
    .filter((part) => part !== '')
    .map(decodeURIComponent);
  const root = parts.shift();
  const group = root === 'api' ? '' : root === 'apis' ? parts.shift() : undefined;
  const version = parts.shift();
  if (group === undefined || version === undefined) return undefined;
  let namespace: string | undefined;
  if (parts[0] === 'namespaces' && parts.length > 2 && parts[2] !== 'status' && parts[2] !== 'finalize') {
    namespace = parts[1];
    parts.splice(0, 2);
  }
  const [plural, name, subresource, ...rest] = parts;
  const resource = plural === undefined ? undefined : findResource(group, version, plural);
  if (!resource || rest.length > 0 || (namespace !== undefined && !resource.namespaced)) return undefined;
  if (subresource !== undefined && !(subresource === 'status' && resource.status)) return undefined;
  const verb = verbOf(method, name, url.searchParams);
  return verb && { resource, verb, namespace, name, subresource, query: url.searchParams };
}
