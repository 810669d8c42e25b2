/** `sluice agent`: reads the flags; the agent itself is passed in. */
import { statSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Argument, Command, CommanderError, Option, type ParseOptionsResult } from 'commander';
import { stringify } from 'yaml';
import { flagValue } from '../../config/flags.ts';
import { loadSources } from '../../config/sources.ts';
import { ALGORITHMS, type Algorithm } from '../../model/algorithm.ts';
import { DEFAULT_BUDGETS } from '../../model/budgets.ts';
import { SluiceError } from '../../model/errors.ts';
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
  MESH_PORTS,
  type SocketLb,
  type SourceOption,
} from '../agent-options.ts';
import { bpfRootOption, type CliContext } from '../context.ts';
import { EXIT_OK, usageError } from '../errors.ts';
import { addKubeProxyFlags, asCommanderReads, kubeProxyFlagsOf } from '../kube-proxy-flags.ts';
import { cleanUp } from './cleanup.ts';

interface Flags {
  nodeName?: string;
  kubeconfig?: string;
  apiServers?: string;
  stateDir?: string;
  manifests?: string;
  config?: string;
  devices?: string;
  socketLb: SocketLb;
  xdp: XdpMode;
  podDevices?: string;
  cgroupRoot?: string;
  bpfRoot: string;
  bindProtection: 'on' | 'off';
  meshPorts: string;
  logLevel?: LogLevel;
  strictConfig?: true;
  algorithm?: Algorithm;
  forwardingMode: ForwardingMode;
  dsrEncapsulation: DsrEncapsulation;
  genevePort: number;
  geneveVni: number;
  watchNodes?: true;
  watchPods?: true;
  respectNetfilter?: true;
  refuseExternalIps?: true;
  refuseNodeAddresses?: true;
  allowReservedAddresses?: true;
  serviceBudget: number;
  namespaceBudget: number;
  essentialServices: string;
  standby?: true;
  serviceProxyName?: string;
  cleanup?: true;
}

const IN_CLUSTER = 'in-cluster';

/** Reads its arguments as kube-proxy does too. */
class AgentCommand extends Command {
  override parseOptions(args: string[]): ParseOptionsResult {
    return super.parseOptions(asCommanderReads(args));
  }
}

export function agentCommand(context: CliContext): Command {
  return agentSyntax().action(async (word: string | undefined, flags: Flags) => {
    context.exit(await run(context, word, flags));
  });
}

/**
 * What an agent would be told by a command line of its own.
 * @throws SluiceError FLAG_INVALID that names the flag.
 */
export function agentOptionsOf(args: readonly string[], hostname: () => string): AgentOptions {
  let options: AgentOptions | undefined;
  const silent = { writeOut() {}, writeErr() {} };
  const command = agentSyntax()
    .exitOverride()
    .configureOutput(silent)
    .action((word: string | undefined, flags: Flags) => {
      options = agentOptions(word, flags, hostname);
    });
  try {
    command.parse(args, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) throw usageError(error.message.replace(/^error: /, ''));
    throw error;
  }
  if (options === undefined) throw usageError('no flags of an agent');
  return options;
}

function agentSyntax(): Command {
  return addKubeProxyFlags(new AgentCommand('agent'))
    .description('serve the Services of this node')
    .addArgument(new Argument('[source]', "in-cluster: use the Pod's service account").choices([IN_CLUSTER]))
    .option('--node-name <name>', "name of this node's Node object (default: the host name)")
    .option('--kubeconfig <file>', 'how to reach the API server (default: in-cluster)')
    .option(
      '--api-servers <addresses>',
      'addresses of API servers that need no Service, tried in turn, e.g. 192.0.2.1:6443,192.0.2.2:6443',
    )
    .option(
      '--state-dir <directory>',
      'keep the last good state there, to serve it when the node starts anew and no API server answers',
    )
    .option('--manifests <directory>', 'read Services and EndpointSlices from YAML files instead')
    .option('--config <file>', 'a KubeProxyConfiguration')
    .option('--strict-config', 'end when it has keys that are not known, or written twice')
    .option('--devices <names>', 'node devices, e.g. eth0,eth1 (default: those with an address or a default route)')
    .addOption(
      new Option('--socket-lb <whom>', 'whom the socket hook serves; host-only: pods are served per packet')
        .choices(['all', 'host-only'])
        .default('all'),
    )
    .option('--watch-pods', 'let pods and namespaces opt out of the socket hook: sluice.io/socket-lb: "false"')
    .option('--pod-devices <pattern>', "the pods' host-side devices, e.g. 'cali*' (default: found by kind)")
    .option('--cgroup-root <directory>', 'cgroup v2 subtree to attach the socket hook to')
    .addOption(bpfRootOption())
    .addOption(
      new Option('--bind-protection <on|off>', 'whether processes are kept from binding NodePorts')
        .choices(['on', 'off'])
        .default('on'),
    )
    .option('--mesh-ports <ports>', 'a pod that listens on one of these is served per packet; "": none', MESH_PORTS)
    .addOption(
      new Option(
        '--algorithm <name>',
        'how backends are chosen where a Service does not say; without it ipvs.scheduler with mode ipvs, else random',
      ).choices(ALGORITHMS),
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
    .option(
      '--watch-nodes',
      'know the other nodes: take encapsulated packets of theirs although this one sends none, and let Services choose dsr by annotation',
    )
    .option('--refuse-external-ips', 'serve no spec.externalIPs')
    .option('--refuse-node-addresses', "serve no external IP and no load-balancer address that is a node's")
    .option(
      '--allow-reserved-addresses',
      "serve external IPs and load-balancer addresses that are link-local or the API server's own, too",
    )
    .addOption(
      new Option('--service-budget <percent>', 'part of each table that one Service may fill')
        .argParser((text) => within('--service-budget', text, 1, 100))
        .default(DEFAULT_BUDGETS.servicePercent),
    )
    .addOption(
      new Option('--namespace-budget <percent>', 'part of each table that the Services of one namespace may fill')
        .argParser((text) => within('--namespace-budget', text, 1, 100))
        .default(DEFAULT_BUDGETS.namespacePercent),
    )
    .option(
      '--essential-services <names>',
      'what room is kept for: namespace/name or namespace/*, separated by commas',
      DEFAULT_BUDGETS.essential.join(','),
    )
    .option(
      '--respect-netfilter',
      "let netfilter's rules meet packets for backends on other nodes too: slower, and without XDP and DSR",
    )
    .option(
      '--standby',
      'where kube-proxy serves the node, load everything and attach nothing until "sluice migrate" takes over',
    )
    .addOption(
      new Option('--xdp <mode>', 'carry packets for other nodes in XDP; auto: native, on network cards that can')
        .choices(XDP_MODES)
        .default('auto'),
    )
    .option(
      '--service-proxy-name <name>',
      'serve only Services with this label service.kubernetes.io/service-proxy-name, beside another proxy',
    )
    .addOption(
      new Option(
        '--log-level <level>',
        "least severe log line (default: info, or by the configuration's verbosity)",
      ).choices(LOG_LEVELS),
    )
    .option('--cleanup', 'remove everything Sluice made, and end')
    .addHelpText(
      'after',
      '\nEvery flag of kube-proxy 1.36 is taken too: docs/configuration.md says what becomes of it.',
    );
}

/** @returns the exit code. */
async function run(context: CliContext, word: string | undefined, flags: Flags): Promise<number> {
  const { version, 'init-only': initOnly, 'write-config-to': written } = kubeProxyFlagsOf({ ...flags });
  if (said(version)) {
    await context.out.write(`${context.version}\n`);
    return EXIT_OK;
  }
  if (flags.cleanup === true) return cleanUp(context, flags.bpfRoot);
  const options = agentOptions(word, flags, context.hostname);
  if (written) {
    writeConfiguration(written, loadSources(options).configuration.effective);
    return EXIT_OK;
  }
  if (!said(initOnly)) return context.runAgent(options);
  await context.out.write('nothing to initialize: the agent writes no sysctl\n');
  return EXIT_OK;
}

const said = (flag: string | undefined) => flag !== undefined && flagValue('', 'boolean', flag) === true;

/** @throws SluiceError CONFIG_INVALID */
function writeConfiguration(file: string, configuration: Readonly<Record<string, unknown>>): void {
  try {
    writeFileSync(file, stringify(configuration, { sortMapEntries: true }));
  } catch (cause) {
    throw new SluiceError('CONFIG_INVALID', `write configuration ${file}: ${(cause as Error).message}`, { cause });
  }
}

/** @throws SluiceError FLAG_INVALID that names the flag. */
function agentOptions(word: string | undefined, flags: Flags, hostname: () => string): AgentOptions {
  const kubeProxyFlags = kubeProxyFlagsOf({ ...flags });
  const { master, 'hostname-override': override } = kubeProxyFlags;
  const name = flags.nodeName ?? (override || undefined);
  return {
    nodeName: nodeName(name, hostname),
    nodeNameGiven: name !== undefined,
    source: sourceOf(word, flags),
    strictConfig: flags.strictConfig === true,
    kubeProxyFlags,
    ...(master && { master }),
    ...(flags.apiServers && { apiServers: apiServers(flags.apiServers) }),
    ...(flags.stateDir && { stateDir: resolve(flags.stateDir) }),
    ...(flags.config && { configFile: existing('--config', flags.config, 'file') }),
    ...(flags.devices !== undefined && { devices: deviceNames(flags.devices) }),
    socketLb: flags.socketLb,
    watchPods: flags.watchPods === true,
    ...netfilter(flags),
    ...(flags.podDevices !== undefined && { podDevices: pattern(flags.podDevices) }),
    ...(flags.cgroupRoot !== undefined && { cgroupRoot: existing('--cgroup-root', flags.cgroupRoot, 'directory') }),
    bpfRoot: flags.bpfRoot,
    bindProtection: flags.bindProtection === 'on',
    standby: flags.standby === true,
    meshPorts: meshPorts(flags.meshPorts),
    ...(flags.serviceProxyName && { serviceProxyName: flags.serviceProxyName }),
    ...(flags.algorithm !== undefined && { algorithm: flags.algorithm }),
    forwarding: {
      mode: flags.forwardingMode,
      encapsulation: flags.dsrEncapsulation,
      genevePort: flags.genevePort,
      geneveVni: flags.geneveVni,
      watchNodes: flags.watchNodes === true,
    },
    externalAddresses: {
      refuseExternalIps: flags.refuseExternalIps === true,
      refuseNodeAddresses: flags.refuseNodeAddresses === true,
      allowReserved: flags.allowReservedAddresses === true,
    },
    budgets: {
      servicePercent: flags.serviceBudget,
      namespacePercent: flags.namespaceBudget,
      essential: essentialServices(flags.essentialServices),
    },
    ...(flags.logLevel !== undefined && { logLevel: flags.logLevel }),
  };
}

const ESSENTIAL = /^[a-z0-9-]{1,63}\/([a-z0-9-]{1,63}|\*)$/;

function essentialServices(text: string): string[] {
  const names = text.split(',').flatMap((name) => name.trim() || []);
  for (const name of names)
    if (!ESSENTIAL.test(name))
      throw usageError(`--essential-services: '${name}' is neither namespace/name nor namespace/*`);
  return names;
}

/** With rules of netfilter respected nothing passes by the stack. */
function netfilter({ respectNetfilter, xdp, forwardingMode }: Flags): Pick<AgentOptions, 'respectNetfilter' | 'xdp'> {
  if (respectNetfilter !== true) return { respectNetfilter: false, xdp };
  const past = [
    (xdp === 'native' || xdp === 'generic') && `--xdp ${xdp}`,
    forwardingMode !== 'snat' && `--forwarding-mode ${forwardingMode}`,
  ].filter((flag) => flag !== false);
  if (past.length > 0)
    throw usageError(`--respect-netfilter and ${past.join(' and ')} exclude each other: its packets pass no rule`);
  return { respectNetfilter: true, xdp: 'off' };
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
    flags.kubeconfig && '--kubeconfig',
    flags.manifests !== undefined && '--manifests',
    word !== undefined && IN_CLUSTER,
  ].filter((flag) => typeof flag === 'string' && flag !== '');
  if (given.length > 1) throw usageError(`${given.join(' and ')} exclude each other: give one source of Services`);
  if (flags.manifests !== undefined) {
    return { kind: 'manifests', directory: existing('--manifests', flags.manifests, 'directory') };
  }
  if (flags.kubeconfig) {
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

/** Where kubeadm's API servers listen. */
const API_PORT = 6443;
/** Of a name or address of IPv4, or of an address of IPv6 in brackets. */
const PORT_AT_END = /^([^:]*|\[.*\]):\d+$/;

/** @returns URLs. A port that is not given is 6443; that of a URL is 443. */
function apiServers(list: string): string[] {
  return list.split(',').flatMap((word) => {
    const text = word.trim();
    if (text === '') return [];
    // Without a port its own default would be 443.
    const url = text.startsWith('https://') ? text : `https://${PORT_AT_END.test(text) ? text : `${text}:${API_PORT}`}`;
    if (!URL.canParse(url))
      throw usageError(`--api-servers: '${text}' is no address of an API server; give HOST, HOST:PORT or https://…`);
    return [url];
  });
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

function meshPorts(text: string): number[] {
  const ports = text
    .split(',')
    .flatMap((port) => (port.trim() === '' ? [] : within('--mesh-ports', port.trim(), 1, 65_535)));
  if (ports.length > 2) throw usageError(`--mesh-ports: '${text}' has ${ports.length} ports; give two at most`);
  return ports;
}

function pattern(text: string): string {
  const names = text.split(',').map((name) => name.trim());
  if (names.some((name) => !DEVICE_NAME.test(name))) {
    throw usageError(`--pod-devices: '${text}' matches no device; give names with * and ?, e.g. 'cali*'`);
  }
  return names.join(',');
}
