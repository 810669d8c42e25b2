/** kube-proxy's own configuration: from a file, standard input, or its process; and what of it Sluice honours. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type FlagTexts, KUBE_PROXY_FLAGS } from '../../config/flags.ts';
import { type LoadedConfiguration, parseConfiguration } from '../../config/load.ts';
import { loadSources } from '../../config/sources.ts';
import type { KubeProxyProcess } from '../../host/kube-proxy-process.ts';
import type { Check } from './checks.ts';

export interface ConfigurationSource {
  readonly from: string;
  /** @throws SluiceError CONFIG_INVALID, FLAG_INVALID */
  load(): LoadedConfiguration;
}

/** @param given a file, or `-`: standard input; e.g. what `kubectl get configmap` prints. */
export function configurationSource(
  given: string | undefined,
  [process]: readonly KubeProxyProcess[],
): ConfigurationSource | undefined {
  if (given !== undefined) {
    const from = given === '-' ? 'standard input' : given;
    return { from, load: () => parseConfiguration(readFileSync(given === '-' ? 0 : given, 'utf8'), from) };
  }
  if (process === undefined) return undefined;
  const flags = flagsOf(process.args);
  const { config } = flags;
  const configFile = config === undefined ? undefined : join(process.root, config);
  return {
    from: `process ${process.pid}`,
    load: () => loadSources({ configFile, kubeProxyFlags: flags, strictConfig: false }),
  };
}

/** kube-proxy's flags by name; what is none is left out. */
export function flagsOf(args: readonly string[]): FlagTexts {
  const flags: Record<string, string> = {};
  args.forEach((arg, i) => {
    const [, written = '', value] = /^--?([^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
    const name = written.replaceAll('_', '-');
    const flag = KUBE_PROXY_FLAGS[name];
    if (flag === undefined) return;
    flags[name] = value ?? (flag.kind === 'boolean' ? 'true' : (args[i + 1] ?? ''));
  });
  return flags as FlagTexts;
}

export function configurationChecks(source: ConfigurationSource | undefined): Check[] {
  const name = 'configuration';
  if (source === undefined)
    return [{ name, result: 'warning', detail: "kube-proxy's was not found; give it by --kube-proxy-config" }];
  try {
    const { notes, warnings } = source.load();
    const set = notes.filter((note) => note.set);
    const refused = set.filter(({ disposition }) => disposition === 'refused');
    const unneeded = set.filter(({ disposition }) => disposition === 'not needed').map(({ key }) => key);
    const honoured = set.length - refused.length - unneeded.length;
    const without = unneeded.length === 0 ? '' : `; not needed: ${unneeded.join(', ')}`;
    return [
      { name, result: 'ok', detail: `${source.from}: ${honoured} keys honoured${without}` },
      ...refused.map(({ key, why }): Check => ({ name, result: 'warning', detail: `${key} is not honoured: ${why}` })),
      ...warnings.map((detail): Check => ({ name, result: 'warning', detail })),
    ];
  } catch (error) {
    return [{ name, result: 'failed', detail: (error as Error).message }];
  }
}
