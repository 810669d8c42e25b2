/**
 * Compares what is in force with what the agent wants, from a fresh list of the objects, with the code that the agent uses.
 * It reads the kernel alone: it works with the agent dead, and writes nothing. What changes while it looks is no
 * difference: only what is found twice is told.
 */

import { hasFeature, probeFeatures } from '../bpf/features.ts';
import { readHandover } from '../bpf/handover.ts';
import { readKnobs } from '../bpf/knobs-in-force.ts';
import { netnsCookie } from '../bpf/netns.ts';
import { type Maps, openMaps } from '../bpf/open-maps.ts';
import { pinDirectoryOf } from '../bpf/paths.ts';
import { type AgentOptions, nodeNameOf } from '../cli/agent-options.ts';
import { loadSources } from '../config/sources.ts';
import { cgroup2Mount } from '../host/cgroup.ts';
import { detectLocalImplemented, primaryAddresses } from '../host/node.ts';
import { planXdp, xdpMtu } from '../host/plan-xdp.ts';
import { findPodCgroups } from '../host/pod-cgroups.ts';
import { readHost } from '../host/read.ts';
import { selectNodeDevices } from '../host/select-devices.ts';
import type { CompiledService } from '../model/compiled.ts';
import type { Configuration } from '../model/configuration.ts';
import { delay } from '../model/delay.ts';
import { SluiceError } from '../model/errors.ts';
import { knobsOf } from '../reconcile/knobs.ts';
import { viewNode } from '../reconcile/node-view.ts';
import { compareAttachments, compareKnobs } from './attachments.ts';
import { type Finding, textOf } from './difference.ts';
import { listObjects, type Objects } from './objects.ts';
import { compareRows, xdpChoices } from './rows.ts';

export interface VerifyRequest {
  /** As the agent has them. */
  readonly agent: AgentOptions;
  /** The last good state on disk in place of the API server. */
  readonly lastState: boolean;
  /** Milliseconds for the lists. */
  readonly timeoutMs: number;
}

export interface Verified {
  readonly node: string;
  readonly findings: readonly Finding[];
  readonly services: number;
  readonly rows: number;
  /** Links and programs. */
  readonly attachments: number;
  /** Were the programs' settings and the maps they look into compared? That takes CAP_SYS_ADMIN. */
  readonly settings: boolean;
  /** Why, by Service that there is no room for. */
  readonly refused: ReadonlyMap<string, string>;
}

/** Milliseconds between two looks: more than what has gone rests, and than the agent takes to put settings right. */
const AGAIN_MS = 1500;
/** Looks until two agree. */
const LOOKS = 6;

/** @throws SluiceError what keeps it from comparing */
export async function verify(request: VerifyRequest): Promise<Verified> {
  const { agent } = request;
  const { configuration } = loadSources(agent);
  const nodeName = nodeNameOf(agent, configuration.hostnameOverride);
  const maps = openMaps(pinDirectoryOf(agent.bpfRoot), { readOnly: true });
  const stop = new AbortController();
  let objects: Objects | undefined;
  try {
    objects = await listObjects({ ...request, nodeName, configuration });
    const services = new Map<string, CompiledService>();
    const look = () => lookOnce(request, nodeName, configuration, maps, objects as Objects, services);
    let last = await look();
    for (let looks = 1; looks < LOOKS && last.findings.length > 0; looks++) {
      await delay(AGAIN_MS, stop.signal);
      const before = new Set(last.findings.map(textOf));
      last = await look();
      const both = last.findings.filter((finding) => before.has(textOf(finding)));
      const settled = both.length === last.findings.length || looks === LOOKS - 1;
      if (settled) return { ...last, findings: both };
    }
    return last;
  } finally {
    objects?.close();
    maps.close();
  }
}

async function lookOnce(
  { agent }: VerifyRequest,
  nodeName: string,
  configuration: Configuration,
  maps: Maps,
  objects: Objects,
  services: Map<string, CompiledService>,
): Promise<Verified> {
  const host = await readHost();
  const node = objects.node();
  const { devices, podDevices, forwarding, algorithm, xdp, externalAddresses } = agent;
  const { apiServers } = objects;
  const options = {
    nodeName,
    configuration,
    devices,
    podDevices,
    forwarding,
    algorithm,
    xdp,
    externalAddresses,
    apiServers,
  };
  const view = viewNode(host, node, objects.peers(), objects.serviceCidrs(), options);
  const cgroupRoot = agent.cgroupRoot ?? cgroup2Mount()?.directory ?? '';
  const uids = objects.optOuts();
  const cgroups = uids === undefined ? undefined : await findPodCgroups(cgroupRoot, new Set(uids));
  objects.compiler.setContext(view.context);
  const { changed, removed } = objects.compiler.take();
  for (const service of changed) services.set(`${service.namespace}/${service.name}`, service);
  for (const key of removed) services.delete(key);

  const pinDirectory = pinDirectoryOf(agent.bpfRoot);
  const { detached } = readHandover(maps.control);
  const xdpChoice = xdpChoices(maps);
  const rows = compareRows({
    maps,
    node: nodeName,
    services: [...services.values()],
    view,
    optOuts: cgroups && [...cgroups.values()],
    budgets: agent.budgets,
    forwarding,
    detached,
    xdpChoice,
  });
  const attachments = compareAttachments({ pinDirectory, node: nodeName, cgroupRoot, view, detached, xdpChoice });
  return {
    node: nodeName,
    services: services.size,
    rows: rows.looked,
    attachments: attachments.looked,
    settings: readKnobs(pinDirectory) !== undefined,
    refused: rows.refused,
    findings: [...rows.findings, ...attachments.findings, ...settings()],
  };

  function settings(): Finding[] {
    const inForce = readKnobs(pinDirectory);
    // That no program is pinned is told already.
    if (inForce === undefined) return [];
    const cookie = netnsCookie();
    if (cookie !== inForce.hostNetnsCookie)
      throw new SluiceError(
        'NODE_INVALID',
        "compare devices: this is another network namespace than the agent's; run it in the node's, e.g. in the agent's pod",
      );
    return compareKnobs(
      nodeName,
      knobsOf({
        configuration,
        socketLbPods: agent.socketLb === 'all',
        socketOptOuts: agent.watchPods,
        bindProtection: agent.bindProtection,
        meshPorts: agent.meshPorts,
        netnsCookie: cookie,
        jiffiesPerSecond: inForce.jiffiesPerSecond,
        haveSetRetval: hasFeature(probeFeatures(), 'set_retval'),
        detectLocal: detectLocalImplemented(configuration, node),
        xdpMtu: xdpMtu(planXdp(selectNodeDevices(host, node, agent.devices), xdp)),
        respectNetfilter: agent.respectNetfilter,
        forwarding,
        ownAddresses: primaryAddresses(node, configuration),
        selectSeed: inForce.selectSeed,
      }),
      inForce,
    );
  }
}
