/** Which pods opt out of the socket hook, by the words of the Pods and of their Namespaces. */
import type { KubernetesObject, ObjectMeta } from '../model/kubernetes.ts';

/** A label or an annotation; the label wins. */
const SOCKET_LB = 'sluice.io/socket-lb';
/** The kubelet names the cgroup of a static pod by this; the Pod in the API has another uid. */
const STATIC_POD_UID = 'kubernetes.io/config.hash';

/** What is read of a Pod. Nothing is validated. */
export interface PlacedPod extends KubernetesObject {
  spec?: { nodeName?: string };
  status?: { phase?: string };
}

function said(metadata: ObjectMeta | undefined): unknown {
  return metadata?.labels?.[SOCKET_LB] ?? metadata?.annotations?.[SOCKET_LB];
}

/** What is kept of a Pod or a Namespace: a new, small object. Its uid is that by which the kubelet names the cgroup. */
export function stripForOptOut({ apiVersion, kind, metadata, spec, status }: PlacedPod): PlacedPod {
  const { name, namespace, uid, resourceVersion } = metadata ?? {};
  const word = said(metadata);
  const cgroup = metadata?.annotations?.[STATIC_POD_UID] ?? uid;
  return {
    ...(kind && { apiVersion, kind }),
    metadata: {
      name,
      namespace,
      uid: cgroup,
      resourceVersion,
      ...(typeof word === 'string' && { labels: { [SOCKET_LB]: word } }),
    },
    ...(spec && { spec: { nodeName: spec.nodeName } }),
    ...(status && { status: { phase: status.phase } }),
  };
}

export interface OptOuts {
  /** By which the kubelet names the pods' cgroups: uids of Pods, sorted. */
  readonly uids: readonly string[];
  /** `namespace/name` of Pods that opt out and have no uid: their cgroups cannot be told. */
  readonly unknown: readonly string[];
}

/**
 * The Pods of a node that say `sluice.io/socket-lb: "false"` in a label or an annotation, or whose Namespace does
 * where they say nothing. Pods that ended have no processes.
 */
export function optOutsOf(
  pods: Iterable<PlacedPod>,
  namespaces: ReadonlyMap<string, KubernetesObject>,
  nodeName: string,
): OptOuts {
  const uids = new Set<string>();
  const unknown: string[] = [];
  for (const { metadata, spec, status } of pods) {
    if (spec?.nodeName !== nodeName || status?.phase === 'Succeeded' || status?.phase === 'Failed') continue;
    if ((said(metadata) ?? said(namespaces.get(metadata?.namespace ?? '')?.metadata)) !== 'false') continue;
    const uid = metadata?.annotations?.[STATIC_POD_UID] ?? metadata?.uid;
    if (typeof uid === 'string' && uid !== '') uids.add(uid.toLowerCase());
    else unknown.push(`${metadata?.namespace}/${metadata?.name}`);
  }
  return { uids: [...uids].sort(), unknown };
}
