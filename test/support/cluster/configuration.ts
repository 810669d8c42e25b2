/** KubeProxyConfiguration files for agents of a lab. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { POD_CIDRS } from '../lab/addressing.ts';
import type { Lab } from '../lab/lab.ts';

/**
 * Writes a configuration: the lab's pod networks, NodePorts on every address, changes at once.
 * @param settings keys that are added or replaced
 * @returns the path of the file
 */
export function writeConfiguration(
  lab: Lab,
  settings: Readonly<Record<string, unknown>> = {},
  name = 'config',
): string {
  const path = join(lab.directory, `${name}.yaml`);
  const configuration = {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    clusterCIDR: lab.families.map((family) => POD_CIDRS[family]).join(','),
    nodePortAddresses: ['0.0.0.0/0', '::/0'],
    ...settings,
  };
  writeFileSync(path, JSON.stringify(configuration)); // JSON is YAML
  return path;
}
