/** kube-proxy's processes, as far as this process may see them. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

export interface KubeProxyProcess {
  readonly pid: number;
  /** Its command line, without the name. */
  readonly args: readonly string[];
  /** Its root directory, seen from here. */
  readonly root: string;
}

export interface KubeProxyProcesses {
  /** False: the processes of the node are hidden, as in a container without hostPID. */
  readonly visible: boolean;
  /** Those in the network namespace of this process. */
  readonly found: readonly KubeProxyProcess[];
}

/** Link of the initial PID namespace (PROC_PID_INIT_INO). */
const INITIAL_PIDS = 'pid:[4026531836]';

export function findKubeProxy(proc = '/proc'): KubeProxyProcesses {
  const own = linkOf(`${proc}/self/ns/net`);
  const found = readdirSync(proc)
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const [program = '', ...args] = argumentsOf(`${proc}/${pid}/cmdline`);
      if (basename(program) !== 'kube-proxy' || linkOf(`${proc}/${pid}/ns/net`) !== own) return [];
      return [{ pid: Number(pid), args, root: `${proc}/${pid}/root` }];
    });
  return { visible: linkOf(`${proc}/self/ns/pid`) === INITIAL_PIDS, found };
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function argumentsOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}
