/** The configuration of a file and of kube-proxy's flags together, by kube-proxy's rules. */
import { type FlagTexts, flagOfKey, notesOfFlags, settingsOfFlags } from './flags.ts';
import { type LoadedConfiguration, loadConfiguration, takeConfiguration } from './load.ts';

export interface ConfigurationSources {
  /** Path of a KubeProxyConfiguration. */
  readonly configFile?: string | undefined;
  readonly kubeProxyFlags: FlagTexts;
  readonly strictConfig: boolean;
}

/**
 * With a file only the flags of the log count beside it; without one the flags are the configuration.
 * @throws SluiceError CONFIG_INVALID, FLAG_INVALID
 */
export function loadSources({ configFile, kubeProxyFlags, strictConfig }: ConfigurationSources): LoadedConfiguration {
  const settings = settingsOfFlags(kubeProxyFlags);
  const own = notesOfFlags(kubeProxyFlags);
  if (configFile === undefined) {
    const document = { apiVersion: 'kubeproxy.config.k8s.io/v1alpha1', kind: 'KubeProxyConfiguration' };
    for (const [key, value] of settings) put(document, key, value);
    const loaded = takeConfiguration(document, 'flags', [], { nameOf: flagOfKey });
    const notes = loaded.notes
      .filter(({ key }) => key !== 'apiVersion' && key !== 'kind')
      .map((note) => ({ ...note, key: flagOfKey(note.key) }));
    return { ...loaded, notes: [...notes, ...own] };
  }
  const counts = ([key]: [string, unknown]) => key.startsWith('logging.');
  const loaded = loadConfiguration(configFile, {
    strict: strictConfig,
    complete: (document) => {
      for (const [key, value] of settings.filter(counts)) put(document, key, value);
    },
  });
  const passedOver = settings
    .filter((setting) => !counts(setting))
    .map(([key]) => ({
      key: flagOfKey(key),
      disposition: 'not needed' as const,
      why: 'not read when --config is given, as with kube-proxy',
      set: true,
    }));
  return { ...loaded, notes: [...loaded.notes, ...passedOver, ...own] };
}

/** Sets a value of a document by its dotted path. */
function put(document: object, path: string, value: unknown): void {
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  let at = document as Record<string, unknown>;
  for (const key of keys) {
    at[key] ??= {};
    // A section that is no mapping is the schema's to refuse.
    if (typeof at[key] !== 'object') return;
    at = at[key] as Record<string, unknown>;
  }
  at[last] = value;
}
