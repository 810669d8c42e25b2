/**
 * Runs the Pod of a DaemonSet on a node of the lab, as a kubelet and a container runtime would, from the image's own root file
 * system: mount, process, IPC and cgroup namespaces of its own, the node's network, a root that is read only, volumes at their
 * places, capabilities dropped from the bounding set. podman and crun need CAP_SYS_RESOURCE for limits; unshare does not.
 */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LabNode } from '../lab/node.ts';

const RUNNER = fileURLToPath(new URL('container.sh', import.meta.url));

interface Container {
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly { name: string; value?: string; valueFrom?: { fieldRef?: { fieldPath: string } } }[];
  readonly volumeMounts?: readonly { name: string; mountPath: string; readOnly?: boolean }[];
  readonly securityContext?: {
    readonly privileged?: boolean;
    readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
  };
}

export interface PodSpec {
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly { name: string; hostPath?: { path: string }; configMap?: { name: string } }[];
}

export interface Image {
  /** Directory of its root file system. */
  readonly root: string;
  readonly entrypoint: readonly string[];
  readonly env: readonly string[];
}

export interface PodContext {
  readonly image: Image;
  /** Directory for what the Pod leaves. */
  readonly directory: string;
  /** Directories of the lab that stand for those of a node, by path. */
  readonly hostPaths: Readonly<Record<string, string>>;
  readonly configMaps: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly serviceAccount: { readonly token: string; readonly ca: string };
  /** What a kubelet sets; the container's own come after. */
  readonly env: Readonly<Record<string, string>>;
}

const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;
const shell = (...words: readonly string[]) => words.map(quote).join(' ');

function files(directory: string, contents: Readonly<Record<string, string>>): string {
  mkdirSync(directory, { recursive: true });
  for (const [name, text] of Object.entries(contents)) writeFileSync(join(directory, name), text);
  return directory;
}

/** Lines that mount the volumes below a root that is still writable: it lies on an overlay of its own. */
function mounts(pod: PodSpec, container: Container, node: LabNode, context: PodContext, scratch: string): string[] {
  const sources = new Map<string, string>();
  for (const { name, hostPath, configMap } of pod.volumes) {
    if (hostPath !== undefined) {
      const source = context.hostPaths[hostPath.path];
      if (source === undefined)
        throw new Error(`run the Pod on ${node.name}: no directory stands for ${hostPath.path}`);
      sources.set(name, source);
    } else if (configMap !== undefined) {
      sources.set(name, files(join(scratch, 'config'), context.configMaps[configMap.name] ?? {}));
    }
  }
  const account = '/var/run/secrets/kubernetes.io/serviceaccount';
  const { token, ca } = context.serviceAccount;
  const secrets = files(join(scratch, 'account'), { token, 'ca.crt': ca, namespace: 'kube-system' });
  const bind = (source: string, target: string, readOnly: boolean) => [
    `mkdir -p "$root"${quote(target)}`,
    `mount --rbind ${quote(source)} "$root"${quote(target)}`,
    ...(readOnly ? [`mount -o remount,bind,ro "$root"${quote(target)}`] : []),
  ];
  return [
    ...(container.volumeMounts ?? []).flatMap(({ name, mountPath, readOnly }) =>
      bind(sources.get(name) ?? '', mountPath, readOnly === true),
    ),
    ...bind(secrets, account, true),
  ];
}

function environment(container: Container, node: LabNode, context: PodContext): Record<string, string> {
  const own = (container.env ?? []).map(({ name, value, valueFrom }) => [
    name,
    valueFrom?.fieldRef?.fieldPath === 'spec.nodeName' ? node.name : (value ?? ''),
  ]);
  const image = context.image.env.map((pair) => pair.split(/=(.*)/s).slice(0, 2));
  return { ...Object.fromEntries(image), ...context.env, ...Object.fromEntries(own) };
}

/** The command line that drops what the container does not add: the bounding set is all that root can have. */
function confined(container: Container): string[] {
  const { privileged, capabilities } = container.securityContext ?? {};
  if (privileged) return [];
  if (!capabilities?.drop?.includes('ALL')) throw new Error('run the Pod: only containers that drop ALL are run');
  const added = (capabilities.add ?? []).map((name) => `+${name.toLowerCase()}`);
  const set = ['-all', ...added].join();
  return ['/usr/bin/setpriv', `--bounding-set=${set}`, '--inh-caps=-all', '--'];
}

function script(pod: PodSpec, container: Container, node: LabNode, context: PodContext, scratch: string): string {
  const env = environment(container, node, context);
  const expand = (word: string) => word.replace(/\$\((\w+)\)/g, (_, name: string) => env[name] ?? '');
  const argv = [...(container.command ?? context.image.entrypoint), ...(container.args ?? [])].map(expand);
  const pairs = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return [
    'set -eu',
    `root=${quote(join(scratch, 'root'))}`,
    `. ${quote(fileURLToPath(new URL('root.sh', import.meta.url)))}`,
    `lay_root ${quote(context.image.root)} ${quote(scratch)}`,
    ...mounts(pod, container, node, context, scratch),
    'mount -o remount,bind,ro "$root"',
    `exec env -i ${shell(...pairs)} chroot "$root" ${shell(...confined(container), ...argv)}`,
  ].join('\n');
}

/** The command lines of a Pod's containers, the init containers first: each is started by `node.spawn`. */
export function podCommands(pod: PodSpec, node: LabNode, context: PodContext): string[][] {
  return [...(pod.initContainers ?? []), ...pod.containers].map((container, i) => {
    const scratch = mkdtempSync(join(context.directory, `container${i}-`));
    const file = join(scratch, 'run.sh');
    writeFileSync(file, script(pod, container, node, context, scratch));
    return ['sh', RUNNER, file];
  });
}
