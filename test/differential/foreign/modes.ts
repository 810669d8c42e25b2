/** Ways to run Sluice on node1, one after another. */
import { writeConfiguration } from '../../support/cluster/configuration.ts';
import { createManifests } from '../../support/cluster/manifests.ts';
import { type AgentOptions, sluiceCommand } from '../../support/lab/agent.ts';
import { clusterObjects } from './services.ts';
import type { World } from './world.ts';

export const MODES = ['socket-lb all', 'socket-lb host-only', 'xdp generic'] as const;
export type Mode = (typeof MODES)[number];

const OPTIONS: Readonly<Record<Mode, AgentOptions>> = {
  'socket-lb all': { socketLb: 'all', extraArgs: ['--xdp', 'off'] },
  'socket-lb host-only': { socketLb: 'host-only', extraArgs: ['--xdp', 'off'] },
  'xdp generic': { socketLb: 'host-only', extraArgs: ['--xdp', 'generic'] },
};

/** Milliseconds for an agent's first sync, on a busy machine. */
const START_MS = 120_000;

export interface Setup {
  /** Starts an agent; resolves when all is in force. @returns what removes every trace of it */
  start(mode: Mode): Promise<() => Promise<void>>;
  /** Runs an agent while `act` does. */
  under<T>(mode: Mode, act: () => Promise<T>): Promise<T>;
}

export function setUp(world: World): Setup {
  const { lab } = world;
  const manifests = createManifests(lab);
  manifests.write('objects.json', clusterObjects(world));
  const config = writeConfiguration(lab);
  const start = async (mode: Mode) => {
    const { extraArgs = [], ...options } = OPTIONS[mode];
    const node = lab.node(1);
    const agent = await lab.startAgent(1, {
      manifests: manifests.directory,
      config,
      devices: 'eth0,eth1',
      timeoutMs: START_MS,
      // A process may have the number of a NodePort, as beside kube-proxy.
      extraArgs: [...extraArgs, '--bind-protection', 'off'],
      ...options,
    });
    return async () => {
      await agent.stop();
      await node.run(sluiceCommand('cleanup', '--bpf-root', node.bpfRoot));
    };
  };
  return {
    start,
    async under(mode, act) {
      const stop = await start(mode);
      try {
        return await act();
      } finally {
        await stop();
      }
    },
  };
}
