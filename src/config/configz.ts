/** The configuration in force, as /configz shows it. */
import type { Configuration } from '../model/configuration.ts';

/** @returns the body of /configz: the whole object, with the keys of the file. */
export function configz({ effective }: Configuration): Record<string, unknown> {
  return { 'kubeproxy.config.k8s.io': effective };
}
