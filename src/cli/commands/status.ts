/** `sluice status`: what is in force on this node, from the kernel alone. */
import { Command } from 'commander';
import { SCHEMA_VERSION } from '../../../maps-schema/gen/codecs.ts';
import type { Feature } from '../../bpf/features.ts';
import { readHandover } from '../../bpf/handover.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import { type AgentReport, readReport } from '../../model/agent-report.ts';
import type { ConfigurationNote } from '../../model/configuration.ts';
import type { PortRange } from '../../model/ports.ts';
import { bpfRootOption, type CliContext, withMaps } from '../context.ts';
import { EXIT_FAILED, EXIT_OK, usageError } from '../errors.ts';
import { percent } from '../format.ts';
import { askAgent, type Health, healthUrl } from '../health.ts';
import { orUndefined } from '../optional.ts';
import { formatObject, outputOption } from '../output.ts';
import type { OutputFormat } from '../output-format.ts';
import { type Column, renderTable } from '../table.ts';
import { systemTargets } from '../targets.ts';
import { type AttachmentRow, readAttachments } from '../views/attachments.ts';
import { type CounterRow, readCounters } from '../views/counters.ts';
import { type ForwardingView, forwardingText, readForwarding } from '../views/forwarding.ts';
import { readNodePortAddresses } from '../views/node-ports.ts';
import { type OccupancyRow, readOccupancy } from '../views/occupancy.ts';
import { readReservedPorts, reservedPortsText } from '../views/reserved-ports.ts';
import { readSnat, type SnatRow } from '../views/snat.ts';
import { readXdp, type XdpRow } from '../views/xdp.ts';
import { moreText, PROBLEM_COLUMNS } from './problems.ts';

export interface Status {
  readonly schemaVersion: number;
  readonly bpfRoot: string;
  readonly agent: Health;
  /** Who serves the node; undefined: the map of settings is not pinned. */
  readonly serving?: Serving;
  /** What the agent that ran here last told of itself; undefined: nothing. */
  readonly report?: AgentReport;
  readonly forwarding: ForwardingView;
  readonly attachments: readonly AttachmentRow[];
  /** Of node devices; undefined: the map of devices is not pinned. */
  readonly xdp?: readonly XdpRow[];
  readonly maps: readonly OccupancyRow[];
  /** undefined: the map of counters is not pinned. */
  readonly counters?: readonly CounterRow[];
  /** Backends towards which source ports collided; undefined: the map is not pinned. */
  readonly sourceNat?: readonly SnatRow[];
  /** That source NAT leaves alone, beside the default NodePort range; undefined: the map is not pinned. */
  readonly reservedPorts?: readonly PortRange[];
  /** Addresses of the node that answer NodePorts; undefined: the map is not pinned. */
  readonly nodePortAddresses?: readonly string[];
  readonly features: readonly Feature[];
}

/** `standing by` and `handing back`: new connections go by kube-proxy's rules. */
export type Serving = 'sluice' | 'standing by' | 'handing back';

const SERVING_TEXT = {
  'standing by': 'standing by: nothing is attached, kube-proxy\'s rules serve this node; "sluice migrate" takes over',
  'handing back':
    'handing back: kube-proxy\'s rules serve what is new, open flows go on; "sluice migrate --back" waits for them',
};

const ATTACHMENT_COLUMNS: readonly Column<AttachmentRow>[] = [
  { header: 'PROGRAM', value: (row) => row.program },
  { header: 'HOOK', value: (row) => row.hook },
  { header: 'TARGET', value: (row) => row.target },
  { header: 'STATE', value: (row) => row.state },
];

const XDP_COLUMNS: readonly Column<XdpRow>[] = [
  { header: 'DEVICE', value: (row) => row.device },
  { header: 'XDP', value: (row) => row.xdp },
  { header: 'WHY', value: (row) => row.why },
];

const MAP_COLUMNS: readonly Column<OccupancyRow>[] = [
  { header: 'MAP', value: (row) => row.map },
  { header: 'ENTRIES', value: (row) => (row.entries === undefined ? '' : String(row.entries)), right: true },
  { header: 'MAX', value: (row) => String(row.maxEntries), right: true },
  {
    header: 'USED',
    value: (row) => (row.entries === undefined ? '' : percent(row.entries, row.maxEntries)),
    right: true,
  },
  { header: 'NOTE', value: noteOf },
];

function noteOf(row: OccupancyRow): string {
  if (row.entries === undefined) return 'not pinned';
  if ((row.evicted ?? 0) > 0) return `! was full: about ${row.evicted} entries made room for newer ones`;
  if (!row.nearlyFull) return '';
  return row.evicts ? '! nearly full: evicts what was used least recently' : '! nearly full';
}

const COUNTER_COLUMNS: readonly Column<CounterRow>[] = [
  { header: 'REASON', value: (row) => row.reason },
  { header: 'COUNT', value: (row) => String(row.packets), right: true },
  { header: 'BYTES', value: (row) => String(row.bytes), right: true },
  { header: 'KIND', value: (row) => (row.drop ? '! drop' : 'served') },
  { header: 'MEANING', value: (row) => row.meaning },
];

const SNAT_COLUMNS: readonly Column<SnatRow>[] = [
  { header: 'BACKEND', value: (row) => row.backend },
  { header: 'PROTOCOL', value: (row) => row.protocol },
  { header: 'PORTS', value: (row) => String(row.ports), right: true },
  { header: 'COLLISIONS', value: (row) => String(row.collisions), right: true },
  { header: 'NO PORT', value: (row) => String(row.exhausted), right: true },
  { header: 'NOTE', value: snatNote },
];

function snatNote(row: SnatRow): string {
  if (row.nearlyExhausted) return '! source ports run out: add backends, or source addresses';
  return row.exhausted > 0 ? '! connections found no source port' : '';
}

const FEATURE_COLUMNS: readonly Column<Feature>[] = [
  { header: 'FEATURE', value: (row) => row.name },
  { header: 'PRESENT', value: (row) => (row.present ? 'yes' : 'no') },
  { header: 'NEEDS', value: (row) => `kernel ${row.kernel}` },
  { header: 'WITHOUT', value: (row) => (row.present ? '' : row.effect) },
];

const CONFIGURATION_COLUMNS: readonly Column<ConfigurationNote>[] = [
  { header: 'KEY', value: (row) => row.key },
  { header: 'DISPOSITION', value: (row) => (row.disposition === 'refused' ? '! refused' : row.disposition) },
  { header: 'WHY', value: (row) => row.why },
];

interface Flags {
  bpfRoot: string;
  output: OutputFormat;
  health?: string;
}

export function statusCommand(context: CliContext): Command {
  return new Command('status')
    .description(
      'show what is in force, what is wrong, how full the maps are, what was counted; exit code 1 when no agent is healthy',
    )
    .option('--health <url>', "the agent's health endpoint (default: what its configuration says)")
    .addOption(bpfRootOption())
    .addOption(outputOption())
    .action(async (flags: Flags) => {
      if (flags.health !== undefined && !URL.canParse(flags.health))
        throw usageError(`--health: '${flags.health}' is no URL`);
      const status = await readStatus(context, flags);
      const { output } = flags;
      await context.out.write(formatObject(status, output) ?? renderStatus(status, output.kind === 'wide'));
      context.exit(status.agent.state === 'healthy' ? EXIT_OK : EXIT_FAILED);
    });
}

async function readStatus(context: CliContext, { bpfRoot, health }: Flags): Promise<Status> {
  const { kernel } = context;
  return withMaps(context, bpfRoot, async (maps) => {
    const reservedPorts = orUndefined(() => readReservedPorts(maps));
    const report = orUndefined(() => readReport(maps.report.view));
    return {
      schemaVersion: SCHEMA_VERSION,
      bpfRoot,
      agent: await askAgent(health ?? healthUrl(report?.healthz), () => kernel.agentHolds(bpfRoot)),
      serving: orUndefined(() => readServing(maps)),
      report,
      forwarding: readForwarding(maps),
      attachments: readAttachments(
        kernel.listLinks(bpfRoot),
        kernel.listFilters(bpfRoot),
        kernel.listPrograms(bpfRoot),
        systemTargets(),
      ),
      xdp: orUndefined(() => readXdp(maps, systemTargets().device)),
      maps: readOccupancy(maps),
      counters: orUndefined(() => readCounters(maps.counters)),
      sourceNat: orUndefined(() => readSnat(maps, reservedPorts)),
      reservedPorts,
      nodePortAddresses: orUndefined(() => readNodePortAddresses(maps)),
      features: kernel.probeFeatures(),
    };
  });
}

function readServing({ control }: Pick<Maps, 'control'>): Serving {
  const { standby, detached } = readHandover(control);
  if (detached) return 'standing by';
  return standby ? 'handing back' : 'sluice';
}

/** The table; `wide` shows counters that are zero, and keys of the configuration that are empty, too. */
export function renderStatus(status: Status, wide = false): string {
  const { agent, report, serving = 'sluice', reservedPorts: reserved = [] } = status;
  const keys = report?.configuration.filter((row) => wide || row.set) ?? [];
  const counted = status.counters?.filter((row) => wide || row.packets > 0);
  return [
    [
      `schema:    v${status.schemaVersion}`,
      `bpf-root:  ${status.bpfRoot}`,
      ...(serving === 'sluice' ? [] : [`serving:   ! ${SERVING_TEXT[serving]}`]),
      `forward:   ${forwardingText(status.forwarding)}`,
      ...(reserved.length === 0 ? [] : [`snat:      ${reservedPortsText(reserved)}`]),
      ...(status.nodePortAddresses === undefined
        ? []
        : [`nodeports: ${status.nodePortAddresses.join(', ') || 'answered on no address'}`]),
      `agent:     ${agent.state === 'healthy' ? '' : '! '}${agent.state}${agent.detail === undefined ? '' : ` (${agent.detail})`}  ${agent.url}`,
      ...(report === undefined ? [] : reportLines(report)),
      '',
    ].join('\n'),
    status.attachments.length === 0
      ? '! no program is attached\n'
      : renderTable(ATTACHMENT_COLUMNS, status.attachments),
    ...(status.xdp === undefined || status.xdp.length === 0 ? [] : [renderTable(XDP_COLUMNS, status.xdp)]),
    renderTable(MAP_COLUMNS, status.maps),
    ...(counted === undefined ? ['! counters are not pinned\n'] : []),
    ...(counted?.length === 0 ? ['nothing was counted yet\n'] : []),
    ...(counted !== undefined && counted.length > 0 ? [renderTable(COUNTER_COLUMNS, counted)] : []),
    ...(report?.problems?.length ? [renderTable(PROBLEM_COLUMNS, report.problems), ...moreText(report)] : []),
    ...(keys.length === 0 ? [] : [renderTable(CONFIGURATION_COLUMNS, keys)]),
    ...(status.sourceNat === undefined || status.sourceNat.length === 0
      ? []
      : [renderTable(SNAT_COLUMNS, status.sourceNat)]),
    ...(status.features.length === 0 ? [] : [renderTable(FEATURE_COLUMNS, status.features)]),
  ].join('\n');
}

/** What the agent told of itself, a line each. */
function reportLines(report: AgentReport): string[] {
  const { version, node, started, configurationFile, serviceCidrs, respectNetfilter = false } = report;
  const { leftOut = [], conditions = [], api } = report;
  const networks =
    serviceCidrs === null
      ? '! not known: packets to cluster IPs that no Service has are not dropped'
      : serviceCidrs.join(',') || 'none';
  return [
    `started:   ${started}  version ${version}, node ${node}`,
    `config:    ${configurationFile ?? 'defaults'}`,
    `cidrs:     ${networks}`,
    ...(api === undefined ? [] : [`api:       ${api.server}  last heard of ${api.lastHeard ?? 'never'}`]),
    `netfilter: ${respectNetfilter ? 'its rules meet' : 'its rules do not meet'} packets from outside for backends elsewhere`,
    ...leftOut.map(({ device, why }) => `left out:  ${device}: ${why}`),
    ...conditions.map(({ what, message, since }) => `amiss:     ! ${what}: ${message} (since ${since})`),
  ];
}
