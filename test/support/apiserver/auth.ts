/** Who asks (bearer tokens) and what they may (rules as in a ClusterRole). */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { ApiError, unauthorized } from './errors.ts';
import type { RequestInfo } from './request.ts';

export interface Rule {
  readonly apiGroups: readonly string[];
  /** `services`, `services/status`, `*` */
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

export interface User {
  readonly name: string;
  readonly token: string;
  readonly groups: readonly string[];
  /** undefined: everything is allowed. */
  readonly rules: readonly Rule[] | undefined;
}

/** The rules of the ClusterRole system:node-proxier (R-93). */
export const NODE_PROXIER_RULES: readonly Rule[] = [
  { apiGroups: [''], resources: ['services'], verbs: ['list', 'watch'] },
  { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
  { apiGroups: ['', 'events.k8s.io'], resources: ['events'], verbs: ['create', 'patch', 'update'] },
  { apiGroups: ['networking.k8s.io'], resources: ['servicecidrs'], verbs: ['list', 'watch'] },
];

export function makeUser(name: string, rules?: readonly Rule[], groups: readonly string[] = []): User {
  return { name, token: randomBytes(16).toString('hex'), groups, rules };
}

/** @throws ApiError 401 */
export function authenticate(request: IncomingMessage, users: Iterable<User>): User {
  const header = request.headers.authorization ?? '';
  for (const user of users) if (header === `Bearer ${user.token}`) return user;
  throw unauthorized();
}

/** @throws ApiError 403 */
export function authorize(user: User, info: RequestInfo): void {
  const { resource, subresource, verb, name, namespace } = info;
  if (user.rules === undefined) return;
  const target = subresource === undefined ? resource.plural : `${resource.plural}/${subresource}`;
  const allowed = user.rules.some(
    (rule) =>
      (rule.apiGroups.includes('*') || rule.apiGroups.includes(resource.group)) &&
      (rule.resources.includes('*') || rule.resources.includes(target)) &&
      (rule.verbs.includes('*') || rule.verbs.includes(verb)),
  );
  if (allowed) return;
  const object = `${target}${resource.group === '' ? '' : `.${resource.group}`}${name === undefined ? '' : ` "${name}"`}`;
  const scope = namespace === undefined ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  const message = `${object} is forbidden: User "${user.name}" cannot ${verb} resource "${target}" in API group "${resource.group}" ${scope}`;
  throw new ApiError(403, 'Forbidden', message, { kind: resource.plural, group: resource.group });
}
