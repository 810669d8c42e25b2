/** Sluice in its variants. The agent fills the maps and ends: what is measured runs in the kernel alone. */
import { type AgentOptions, sluiceCommand } from '../../test/support/lab/agent.ts';
import { type Competitor, NotAvailable, type PartName } from './competitor.ts';

const START_MS = 120_000;

export interface SluiceVariant {
  readonly name: string;
  readonly label: string;
  readonly parts: readonly PartName[];
  readonly options: Pick<AgentOptions, 'socketLb' | 'extraArgs'>;
}

export const SLUICE_VARIANTS: readonly SluiceVariant[] = [
  {
    name: 'sluice-socket',
    label: 'Sluice, socket hook (the default for pods)',
    parts: ['connect', 'established', 'control', 'spread'],
    options: {},
  },
  {
    name: 'sluice-tc',
    label: 'Sluice, tc (pods too: --socket-lb host-only)',
    parts: ['connect', 'established', 'northsouth', 'spread'],
    options: { socketLb: 'host-only', extraArgs: ['--xdp', 'off'] },
  },
  {
    name: 'sluice-xdp-generic',
    label: 'Sluice, XDP generic',
    parts: ['northsouth'],
    options: { extraArgs: ['--xdp', 'generic'] },
  },
  {
    name: 'sluice-xdp',
    label: 'Sluice, XDP native on veth',
    parts: ['northsouth'],
    options: { extraArgs: ['--xdp', 'native'] },
  },
  {
    name: 'sluice-dsr',
    label: 'Sluice, direct server return, tc',
    parts: ['northsouth'],
    options: { extraArgs: ['--forwarding-mode', 'dsr', '--xdp', 'off'] },
  },
];

export function sluice({ name, label, parts, options }: SluiceVariant): Competitor {
  return {
    name,
    label,
    parts,
    ...(parts.includes('control')
      ? {
          async controlPlane({ world, node }) {
            const { kubeconfig } = world.api;
            const agent = await world.lab.startAgent(node.name, { ...options, kubeconfig, waitSynced: false });
            const stop = async () => {
              await agent.stop();
              await node.run(sluiceCommand('cleanup', '--bpf-root', node.bpfRoot));
            };
            return { pid: agent.pid, stop };
          },
        }
      : {}),
    async install({ world, node }) {
      try {
        const agent = await world.lab.startAgent(node.name, {
          ...options,
          kubeconfig: world.api.kubeconfig,
          timeoutMs: START_MS,
        });
        await agent.stop();
      } catch (error) {
        const message = (error as Error).message;
        const unknown = /unknown option '([^']+)'/.exec(message)?.[1];
        if (unknown === '--xdp' && options.extraArgs?.includes('off')) return withoutXdp();
        throw new NotAvailable(unknown ? `this build has no ${unknown}` : message);
      }

      async function withoutXdp(): Promise<void> {
        const at = options.extraArgs?.indexOf('--xdp') ?? -1;
        const extraArgs = options.extraArgs?.filter((_, i) => i !== at && i !== at + 1);
        await sluice({ name, label, parts, options: { ...options, extraArgs } }).install({ world, node, services: [] });
      }
    },
  };
}
