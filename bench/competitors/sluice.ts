/** Sluice in its variants. The agent fills the maps and ends: what is measured runs in the kernel alone. */
import { type AgentOptions, sluiceCommand } from '../../test/support/lab/agent.ts';
import type { LabNode } from '../../test/support/lab/node.ts';
import type { World } from '../world/world.ts';
import { type Competitor, NotAvailable, type PartName } from './competitor.ts';

const START_MS = 120_000;

export interface SluiceVariant {
  readonly name: string;
  readonly label: string;
  readonly parts: readonly PartName[];
  readonly options: Options;
  /** See Competitor. */
  readonly ownBackends?: boolean;
}

type Options = Pick<AgentOptions, 'socketLb' | 'extraArgs'>;

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
    name: 'sluice-tc-netfilter',
    label: "Sluice, tc, through netfilter's rules (--respect-netfilter)",
    parts: ['northsouth'],
    options: { extraArgs: ['--respect-netfilter'] },
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
    ownBackends: true,
  },
];

/** Runs an agent on a node until the Services are in force. @throws NotAvailable when it does not get there */
async function fill(world: World, node: LabNode, options: Options): Promise<void> {
  const { kubeconfig } = world.api;
  try {
    const agent = await world.lab.startAgent(node.name, { ...options, kubeconfig, timeoutMs: START_MS });
    await agent.stop();
  } catch (error) {
    const message = (error as Error).message;
    const unknown = /unknown option '([^']+)'/.exec(message)?.[1];
    const at = options.extraArgs?.indexOf('--xdp') ?? -1;
    // A build without XDP has it off.
    if (unknown === '--xdp' && options.extraArgs?.[at + 1] === 'off')
      return fill(world, node, { ...options, extraArgs: options.extraArgs.toSpliced(at, 2) });
    throw new NotAvailable(unknown ? `this build has no ${unknown}` : message);
  }
}

export function sluice({ name, label, parts, options, ownBackends }: SluiceVariant): Competitor {
  const competitor: Competitor = {
    name,
    label,
    parts,
    ...(ownBackends ? { ownBackends } : {}),
    ...(parts.includes('control')
      ? {
          async controlPlane({ world, node }) {
            const { kubeconfig } = world.api;
            const agent = await world.lab.startAgent(node.name, { ...options, kubeconfig, waitSynced: false });
            const stop = async () => {
              await agent.stop();
              await node.run(sluiceCommand('cleanup', '--bpf-root', node.bpfRoot));
            };
            const check = async () => {
              if (agent.exit !== undefined) throw new Error(`the agent ended; its log: ${agent.logFile}`);
            };
            return { pid: agent.pid, check, stop };
          },
        }
      : {}),
    async install({ world, node }) {
      // The receiving side first: nothing is sent to it before it takes it.
      if (ownBackends) await fill(world, world.remoteOf(competitor).node, options);
      await fill(world, node, options);
    },
  };
  return competitor;
}
