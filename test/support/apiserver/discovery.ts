/** What the server says of itself: versions, groups, resources, and as much OpenAPI as kubectl needs. */
import { apiVersionOf, RESOURCES } from './resources.ts';

const VERSION = {
  major: '1',
  minor: '33',
  gitVersion: 'v1.33.0',
  gitCommit: '',
  gitTreeState: 'clean',
  platform: 'linux/amd64',
};
const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

function groups(): Record<string, unknown>[] {
  const names = [...new Set(RESOURCES.map((r) => r.group))].filter((group) => group !== '');
  return names.map((name) => {
    const version = { groupVersion: `${name}/v1`, version: 'v1' };
    return { name, versions: [version], preferredVersion: version };
  });
}

function resourceList(groupVersion: string): Record<string, unknown> | undefined {
  const resources = RESOURCES.filter((r) => apiVersionOf(r) === groupVersion).flatMap((r) => {
    const entry = {
      name: r.plural,
      singularName: r.singular,
      namespaced: r.namespaced,
      kind: r.kind,
      verbs: VERBS,
      shortNames: r.shortNames,
    };
    const status = {
      name: `${r.plural}/status`,
      singularName: '',
      namespaced: r.namespaced,
      kind: r.kind,
      verbs: ['get', 'patch', 'update'],
    };
    return r.status ? [entry, status] : [entry];
  });
  if (resources.length === 0) return undefined;
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources };
}

/**
 * kubectl asks the document whether the server checks fields itself (the query parameter
 * fieldValidation); told so, it does not check against schemas, which are left out here.
 */
function openApi(groupVersion: string, root: string): Record<string, unknown> {
  const paths: Record<string, unknown> = {};
  for (const r of RESOURCES.filter((x) => apiVersionOf(x) === groupVersion)) {
    const scope = r.namespaced ? 'namespaces/{namespace}/' : '';
    const parameter = (name: string) => ({ name, in: 'query', schema: { type: 'string', uniqueItems: true } });
    paths[`/${root}/${scope}${r.plural}/{name}`] = {
      patch: {
        parameters: ['dryRun', 'fieldManager', 'fieldValidation', 'force'].map(parameter),
        responses: { 200: { description: 'OK' } },
        'x-kubernetes-action': 'patch',
        'x-kubernetes-group-version-kind': { group: r.group, version: r.version, kind: r.kind },
      },
    };
  }
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: VERSION.gitVersion },
    paths,
    components: { schemas: {} },
  };
}

function openApiIndex(): Record<string, unknown> {
  const versions = [...new Set(RESOURCES.map(apiVersionOf))];
  const roots = versions.map((version) => (version.includes('/') ? `apis/${version}` : `api/${version}`));
  return {
    paths: Object.fromEntries(roots.map((root) => [root, { serverRelativeURL: `/openapi/v3/${root}?hash=1` }])),
  };
}

/** @returns the document at a path; undefined: there is none. */
export function discover(path: string): Record<string, unknown> | undefined {
  if (path === '/version') return VERSION;
  if (path === '/api')
    return { kind: 'APIVersions', apiVersion: 'v1', versions: ['v1'], serverAddressByClientCIDRs: [] };
  if (path === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups() };
  if (path === '/openapi/v3') return openApiIndex();
  const match = /^(?:\/openapi\/v3)?\/(api|apis)\/(.+)$/.exec(path);
  if (!match) return undefined;
  const [, prefix, groupVersion = ''] = match;
  if ((prefix === 'api') !== (groupVersion === 'v1')) return undefined;
  const list = resourceList(groupVersion);
  if (path.startsWith('/openapi/v3/')) return list && openApi(groupVersion, `${prefix}/${groupVersion}`);
  return list;
}
