/** `sluice agent`: reads the flags; the agent itself is passed in. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { Argument, Command, Option } from 'commander';
import {
  DEFAULT_FORWARDING,
  DSR_ENCAPSULATIONS,
  type DsrEncapsulation,
  FORWARDING_MODES,
  type ForwardingMode,
} from '../../model/forwarding.ts';
import { XDP_MODES, type XdpMode } from '../../model/xdp.ts';
import {
  type AgentOptions,
  canonicalNodeName,
  LOG_LEVELS,
  type LogLevel,
  type SocketLb,
  type SourceOption,
} from '../agent-options.ts';
import { bpfRootOption, type CliContext } from '../context.ts';
import { usageError } from '../errors.ts';
import { cleanUp } from './cleanup.ts';

interface Flags {
  nodeName?: string;
  kubeconfig?: string;
  manifests?: string;
  config?: string;
  devices?: string;
  socketLb: SocketLb;
  xdp: XdpMode;
  podDevices?: string;
  cgroupRoot?: string;
  bpfRoot: string;
  bindProtection: 'on' | 'off';
  logLevel: LogLevel;
  forwardingMode: ForwardingMode;
  dsrEncapsulation: DsrEncapsulation;
  genevePort: number;
  geneveVni: number;
  watchNodes?: true;
  serviceProxyName?: string;
  cleanup?: true;
}

const IN_CLUSTER = 'in-cluster';

export function agentCommand(context: CliContext): Command {
  return new Command('agent')
    .description('serve the Services of this node')
    .addArgument(new Argument('[source]', "in-cluster: use the Pod's service account").choices([IN_CLUSTER]))
    .option('--node-name <name>', "name of this node's Node object (default: the host name)")
    .option('--kubeconfig <file>', 'how to reach the API server (default: in-cluster)')
    .option('--manifests <directory>', 'read Services and EndpointSlices from YAML files instead')
    .option('--config <file>', 'a KubeProxyConfiguration')
    .option(
      '--devices <names>',
      "node devices, e.g. eth0,eth1 (default: those with the node's addresses and default routes)",
    )
    .addOption(
      new Option('--socket-lb <whom>', 'whom the socket hook serves; host-only: pods are served per packet')
        .choices(['all', 'host-only'])
        .default('all'),
    )
    .option('--pod-devices <pattern>', "the pods' host-side devices, e.g. 'cali*' (default: found by kind)")
    .option('--cgroup-root <directory>', 'cgroup v2 subtree to attach the socket hook to')
    .addOption(bpfRootOption())
    .addOption(
      new Option('--bind-protection <on|off>', 'whether processes are kept from binding NodePorts')
        .choices(['on', 'off'])
        .default('on'),
    )
    .addOption(
      new Option('--forwarding-mode <mode>', 'how packets from outside reach backends on other nodes')
        .choices(FORWARDING_MODES)
        .default(DEFAULT_FORWARDING.mode),
    )
    .addOption(
      new Option('--dsr-encapsulation <kind>', "how they travel to the backend's node with dsr")
        .choices(DSR_ENCAPSULATIONS)
        .default(DEFAULT_FORWARDING.encapsulation),
    )
    .addOption(
      new Option('--geneve-port <port>', 'UDP port of Geneve, the same on every node')
        .argParser((text) => within('--geneve-port', text, 1, 65_535))
        .default(DEFAULT_FORWARDING.genevePort),
    )
    .addOption(
      new Option('--geneve-vni <number>', 'virtual network identifier of Geneve packets that are sent')
        .argParser((text) => within('--geneve-vni', text, 0, 0xff_ffff))
        .default(DEFAULT_FORWARDING.geneveVni),
    )
    .option('--watch-nodes', 'take encapsulated packets of other nodes although this one sends none')
    .addOption(
      new Option('--xdp <mode>', 'carry packets for other nodes in XDP; auto: native, on network cards that can')
        .choices(XDP_MODES)
        .default('auto'),
    )
    .option(
      '--service-proxy-name <name>',
      'serve only Services with this label service.kubernetes.io/service-proxy-name, beside another proxy',
    )
    .addOption(new Option('--log-level <level>', 'least severe log line').choices(LOG_LEVELS).default('info'))
    .option('--cleanup', 'remove everything Sluice made, and end')
    .action(async (word: string | undefined, flags: Flags) => {
      context.exit(
        flags.cleanup === true
          ? await cleanUp(context, flags.bpfRoot)
          : await context.runAgent(agentOptions(word, flags, context.hostname)),
      );
    });
}

/** @throws SluiceError FLAG_INVALID that names the flag. */
function agentOptions(word: string | undefined, flags: Flags, hostname: () => string): AgentOptions {
  return {
    nodeName: nodeName(flags.nodeName, hostname),
    nodeNameGiven: flags.nodeName !== undefined,
    source: sourceOf(word, flags),
    ...(flags.config !== undefined && { configFile: existing('--config', flags.config, 'file') }),
    ...(flags.devices !== undefined && { devices: deviceNames(flags.devices) }),
    socketLb: flags.socketLb,
    xdp: flags.xdp,
    ...(flags.podDevices !== undefined && { podDevices: pattern(flags.podDevices) }),
    ...(flags.cgroupRoot !== undefined && { cgroupRoot: existing('--cgroup-root', flags.cgroupRoot, 'directory') }),
    bpfRoot: flags.bpfRoot,
    bindProtection: flags.bindProtection === 'on',
    ...(flags.serviceProxyName && { serviceProxyName: flags.serviceProxyName }),
    forwarding: {
      mode: flags.forwardingMode,
      encapsulation: flags.dsrEncapsulation,
      genevePort: flags.genevePort,
      geneveVni: flags.geneveVni,
      watchNodes: flags.watchNodes === true,
    },
    logLevel: flags.logLevel,
  };
}

function within(flag: string, text: string, least: number, most: number): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw usageError(`${flag}: '${text}' is not a number from ${least} to ${most}`);
}

function nodeName(flag: string | undefined, hostname: () => string): string {
  const name = canonicalNodeName(flag ?? hostname());
  if (name === '') throw usageError('--node-name: is empty; give the name of the Node object of this node');
  if (/\s/.test(name)) throw usageError(`--node-name: '${name}' is no name of a Node`);
  return name;
}

function sourceOf(word: string | undefined, flags: Flags): SourceOption {
  const given = [
    flags.kubeconfig !== undefined && '--kubeconfig',
    flags.manifests !== undefined && '--manifests',
    word !== undefined && IN_CLUSTER,
  ].filter((flag) => flag !== false);
  if (given.length > 1) throw usageError(`${given.join(' and ')} exclude each other: give one source of Services`);
  if (flags.manifests !== undefined) {
    return { kind: 'manifests', directory: existing('--manifests', flags.manifests, 'directory') };
  }
  if (flags.kubeconfig !== undefined) {
    return { kind: 'kubeconfig', file: existing('--kubeconfig', flags.kubeconfig, 'file') };
  }
  return { kind: 'in-cluster' };
}

/** @returns the absolute path of what a flag names. */
function existing(flag: string, path: string, kind: 'file' | 'directory'): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw usageError(`${flag}: ${path}: no such ${kind}`);
  if (stats.isDirectory() !== (kind === 'directory')) throw usageError(`${flag}: ${path} is not a ${kind}`);
  return resolve(path);
}

/** IFNAMSIZ leaves 15 characters for a device's name. */
const DEVICE_NAME = /^[^\s/:,]{1,15}$/;

function deviceNames(list: string): string[] {
  const names = [...new Set(list.split(',').map((name) => name.trim()))];
  for (const name of names) {
    if (!DEVICE_NAME.test(name) || name === '.' || name === '..') {
      throw usageError(`--devices: '${name}' is no name of a device; give names separated by commas, e.g. eth0,eth1`);
    }
  }
  return names;
}

function pattern(text: string): string {
  const names = text.split(',').map((name) => name.trim());
  if (names.some((name) => !DEVICE_NAME.test(name))) {
    throw usageError(`--pod-devices: '${text}' matches no device; give names with * and ?, e.g. 'cali*'`);
  }
  return names.join(',');
}
