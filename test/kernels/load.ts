/** Every object of the build is loaded: the verifier of this kernel has its say. */
import { mkdtempSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { haveConntrack } from '../../src/bpf/conntrack.ts';
import { hasFeature, probeFeatures } from '../../src/bpf/features.ts';
import { loadPrograms } from '../../src/bpf/loader.ts';
import { ensurePinDirectory, removePinDirectory } from '../../src/bpf/paths.ts';
import { OPTIONAL_PROGRAMS } from '../../src/reconcile/datapath.ts';
import { zeroKnobs } from '../kernel/bpf/knobs.ts';
import type { Check } from './check.ts';

const objectDirectory = fileURLToPath(new URL('../../dist/bpf', import.meta.url));
const OBJECTS = readdirSync(objectDirectory).filter((name) => name.endsWith('.bpf.o'));

/** What is off is not verified. */
const ALL_ON = {
  jiffiesPerSecond: 250,
  socketLbPods: 1,
  localhostNodePorts: 1,
  bindProtection: 1,
  detectPods4: 1,
  detectPods6: 1,
  socketOptOuts: 1,
};

export function loadChecks(): Check[] {
  return OBJECTS.map((object) => ({
    name: `${object} loads`,
    async run() {
      if (object.includes('-conntrack.') && !haveConntrack()) return 'left out: this kernel does not let programs ask';
      const root = mkdtempSync('/sys/fs/bpf/load');
      try {
        const loaded = await loadPrograms({
          objectDirectory,
          pinDirectory: ensurePinDirectory(root),
          knobs: { ...zeroKnobs, ...ALL_ON, haveSetRetval: hasFeature(probeFeatures(), 'set_retval') ? 1 : 0 },
          objects: [object],
          optional: OPTIONAL_PROGRAMS,
        });
        const text = `${loaded.programs.size} programs${loaded.skipped.length > 0 ? `, without ${loaded.skipped.join(', ')}` : ''}`;
        loaded.close();
        return text;
      } finally {
        removePinDirectory(root);
      }
    },
  }));
}
