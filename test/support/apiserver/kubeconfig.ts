/** A kubeconfig for clients of the server. */
import { writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';

export interface KubeconfigOptions {
  readonly server: string;
  /** PEM */
  readonly ca: string;
  readonly user: string;
  readonly token: string;
}

export function makeKubeconfig({ server, ca, user, token }: KubeconfigOptions): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'sluice', cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } },
    ],
    users: [{ name: user, user: { token } }],
    contexts: [{ name: 'sluice', context: { cluster: 'sluice', user } }],
    'current-context': 'sluice',
  });
}

/** Readable by its owner alone. */
export async function writeKubeconfig(path: string, options: KubeconfigOptions): Promise<void> {
  await writeFile(path, makeKubeconfig(options), { mode: 0o600 });
}
