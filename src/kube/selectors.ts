/** Which objects are ours (R-2, R-3): as a query for the API server, and as a test for manifests. */
import type { KubernetesObject } from '../model/kubernetes.ts';

const PROXY_NAME = 'service.kubernetes.io/service-proxy-name';
const HEADLESS = 'service.kubernetes.io/headless';

/** @param proxyName serve the Services of this proxy name instead of those without one */
export function serviceSelector(proxyName: string | undefined): string {
  return `${proxyName === undefined ? `!${PROXY_NAME}` : `${PROXY_NAME}=${proxyName}`},!${HEADLESS}`;
}

export function sliceSelector(): string {
  return `!${HEADLESS}`;
}

export function selectsService(object: KubernetesObject, proxyName: string | undefined): boolean {
  const labels = object.metadata?.labels;
  return labels?.[PROXY_NAME] === proxyName && labels?.[HEADLESS] === undefined;
}

export function selectsSlice(object: KubernetesObject): boolean {
  return object.metadata?.labels?.[HEADLESS] === undefined;
}
