/** Wires the agent: sources → compiler → tables → kernel, with the servers beside them. */
import { randomInt } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { release } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type Logger, pino } from 'pino';
import { SCHEMA_VERSION } from '../maps-schema/gen/codecs.ts';
import { version as VERSION } from '../package.json';
import { isTransient } from './bpf/errno.ts';
import { describeFeature, hasFeature, probeFeatures } from './bpf/features.ts';
import { isWritable } from './bpf/ffi.ts';
import { measureJiffiesPerSecond } from './bpf/jiffies.ts';
import { netnsCookie } from './bpf/netns.ts';
import { releaseMemory } from './bpf/release-memory.ts';
import { runSweep } from './bpf/sweep.ts';
import { type AgentOptions, logLevelOf, nodeNameOf } from './cli/agent-options.ts';
import { endpoint } from './cli/format.ts';
import { createCompiler } from './compile/compiler.ts';
import { loadSources } from './config/sources.ts';
import { type Cgroup2Mount, cgroup2Mount } from './host/cgroup.ts';
import { readKubeProxyRules } from './host/kube-proxy-rules.ts';
import { memoryText, memoryUse } from './host/memory.ts';
import { detectLocalImplemented, primaryAddresses } from './host/node.ts';
import { setOomScoreAdj } from './host/oom.ts';
import { createPeers } from './host/peers.ts';
import { planXdp, xdpMtu } from './host/plan-xdp.ts';
import { findPodCgroups } from './host/pod-cgroups.ts';
import { readHost } from './host/read.ts';
import { run } from './host/run.ts';
import { type LeftOutDevice, selectNodeDevices } from './host/select-devices.ts';
import { watchHost } from './host/watch.ts';
import { type ApiServers, apiServerAddresses } from './kube/api-servers.ts';
import { createApiSource } from './kube/api-source.ts';
import { createEventRecorder, type EventRecorder } from './kube/events.ts';
import { loadKubeConfig } from './kube/kubeconfig.ts';
import { createLastState, type LastState } from './kube/last-state.ts';
import { createManifestSource } from './kube/manifest-source.ts';
import { type AgentReport, writeReport } from './model/agent-report.ts';
import type { Configuration } from './model/configuration.ts';
import { SluiceError } from './model/errors.ts';
import type { Node } from './model/kubernetes.ts';
import type { Contact, ObjectSource } from './model/source.ts';
import { createCauses } from './reconcile/causes.ts';
import { createConditions } from './reconcile/conditions.ts';
import { createDataPath } from './reconcile/datapath.ts';
import { createDisturbances } from './reconcile/disturbances.ts';
import { createDriftCheck } from './reconcile/drift-check.ts';
import { createHistory } from './reconcile/history.ts';
import { inTurns } from './reconcile/in-turns.ts';
import { knobsOf } from './reconcile/knobs.ts';
import { takesDirectReturn } from './reconcile/node-view.ts';
import { createReconciler, type Reconciler } from './reconcile/reconciler.ts';
import { createReporter, problemText } from './reconcile/report.ts';
import { createSchedule } from './reconcile/schedule.ts';
import { runServers } from './reconcile/servers.ts';
import { createSocketOptOuts } from './reconcile/socket-opt-outs.ts';
import { createSweeper } from './reconcile/sweeper.ts';
import { createTelemetry, exportKernel } from './reconcile/telemetry.ts';
import { onceIdle } from './reconcile/when-idle.ts';
import { createHealth } from './serve/health.ts';
import { createHealthCheckServers } from './serve/health-check-servers.ts';
import { createLogOutput } from './serve/log-output.ts';
import { exportLoopDelay } from './serve/loop-delay.ts';
import { createMetrics } from './serve/metrics.ts';
import { createTablesSteps, type Tables } from './tables/tables.ts';

/** Milliseconds without a change after which the memory that the first lists took is given back, and at the latest. */
const RELEASE_IDLE_MS = 2000;
const RELEASE_AT_MOST_MS = 10_000;
/** Milliseconds after which programs are loaded although the lists have not arrived. */
const LOAD_UNLISTED_MS = 10_000;
/** Milliseconds without a word from the API server that `sluice status` calls amiss: pings were not answered. */
const API_SILENT_MS = 60_000;
/** Milliseconds between two reports of when it was heard last. */
const API_REPORT_MS = 5_000;
/** Milliseconds between two looks at what `sluice migrate` asks for. */
const HANDOVER_POLL_MS = 500;
/** Devices left out that `sluice status` names. */
const LEFT_OUT_TOLD = 32;

/** Standard error, for what ends the agent: a write returns soon, whoever reads it. */
export function lastWords(): { write(text: string): Promise<void> } {
  const output = createLogOutput({ fd: 2, writable: isWritable });
  return {
    async write(text) {
      if (text !== '') output.write(text);
      output.close();
    },
  };
}

interface Created {
  readonly source: ObjectSource;
  readonly events?: EventRecorder;
  readonly lastState?: LastState;
  /** No Service may take them. */
  readonly apiServers?: ApiServers;
}

async function createSource(
  options: AgentOptions,
  nodeName: string,
  configuration: Configuration,
  log: Logger,
  served: () => boolean,
  signal: AbortSignal,
): Promise<Created> {
  const { source, serviceProxyName, watchPods, stateDir } = options;
  if (source.kind === 'manifests')
    return { source: createManifestSource({ directory: source.directory, nodeName, serviceProxyName, watchPods }) };
  const kubeconfigFile = source.kind === 'kubeconfig' ? source.file : configuration.clientKubeconfig || undefined;
  const kubeConfig = await loadKubeConfig({ kubeconfigFile, server: options.master });
  const lastState =
    stateDir === undefined
      ? undefined
      : await createLastState({
          file: join(stateDir, `state-${encodeURIComponent(nodeName)}`),
          nodeName,
          served,
          warn: (message, fields = {}) => log.warn(fields, message),
          inform: (message, fields = {}) => log.info(fields, message),
        });
  const common = {
    kubeConfig,
    nodeName,
    serviceProxyName,
    watchPods,
    served,
    servers: serversOf(options.apiServers, kubeConfig.getCurrentCluster()?.server ?? '', lastState),
    log: (message: string, fields: object) => log.debug(fields, message),
  };
  const apiServers = await apiServerAddresses(common.servers);
  const api = createApiSource(common);
  const events = createEventRecorder({ ...common, signal });
  return lastState === undefined
    ? { source: api, events, apiServers }
    : { source: lastState.wrap(api), events, lastState, apiServers };
}

/** Those that were given, or the kubeconfig's and those that were known last; the one that answered last is the first. */
function serversOf(given: readonly string[] | undefined, own: string, lastState: LastState | undefined): string[] {
  const servers = [...new Set(given ?? [own, ...(own.startsWith('https:') ? (lastState?.apiServers ?? []) : [])])];
  const last = servers.filter((server) => server === lastState?.lastServer);
  return [...last, ...servers.filter((server) => !last.includes(server))];
}

/**
 * Runs until the signal aborts; the data path stays in force then.
 * @param objectDirectory where `make build` left the compiled programs.
 * @throws SluiceError for what makes a start impossible; later faults are logged and retried.
 */
export async function runAgent(options: AgentOptions, objectDirectory: string, signal: AbortSignal): Promise<void> {
  const output = createLogOutput({ fd: 1, writable: isWritable });
  const log = pino(
    { level: options.logLevel ?? 'info', base: undefined, timestamp: pino.stdTimeFunctions.isoTime },
    output,
  );
  const warn = (message: string, fields: Record<string, unknown> = {}) => log.warn(fields, message);
  const inform = (message: string, fields: Record<string, unknown> = {}) => log.info(fields, message);
  const { configuration, notes, warnings } = loadSources(options);
  if (options.logLevel === undefined) log.level = logLevelOf(configuration.verbosity);
  for (const warning of warnings) warn(warning);
  for (const { key, disposition, why, set } of notes) if (set) log.info({ key, disposition }, `configuration: ${why}`);
  const nodeName = nodeNameOf(options, configuration.hostnameOverride);
  if (configuration.oomScoreAdj !== undefined) setOomScoreAdj(configuration.oomScoreAdj, warn);

  const mount = options.cgroupRoot === undefined ? findCgroupMount() : undefined;
  const cgroupRoot = options.cgroupRoot ?? mount?.directory ?? '';
  const dataPath = createDataPath({
    bpfRoot: options.bpfRoot,
    cgroupRoot,
    objectDirectory,
    log: (message, fields) => log.info(fields, message),
  });
  const features = probeFeatures();
  for (const feature of features)
    if (!feature.present) log.info({ feature: feature.name }, `kernel: ${describeFeature(feature)}`);

  const metrics = createMetrics();
  exportLoopDelay(metrics);
  metrics.onScrape(() => metrics.logLinesDropped(output.dropped));
  metrics.buildInfo({ version: VERSION, schema: String(SCHEMA_VERSION), kernel: release() });
  const health = createHealth({ clock: Date.now, syncPeriod: configuration.syncPeriod });
  let events: EventRecorder | undefined;
  const healthChecks = createHealthCheckServers({
    healthy: () => health.healthy(),
    onFailed(service, message) {
      const { namespace, name } = service;
      warn(message, { namespace, name, event: 'FailedToStartServiceHealthcheck' });
      events?.healthCheckFailed(service, message);
    },
  });
  const telemetry = createTelemetry({ configuration, metrics, health, healthChecks, clock: Date.now });
  const schedule = createSchedule({ minInterval: configuration.minSyncPeriod, maxInterval: configuration.syncPeriod });
  const compiler = createCompiler({
    nodeName,
    detectLocal: { IPv4: false, IPv6: false },
    routerIpMode: configuration.routerIpMode,
    ...(options.serviceProxyName !== undefined && { serviceProxyName: options.serviceProxyName }),
    families: ['IPv4', 'IPv6'],
  });
  const report = createReporter({
    tell: (problem) =>
      warn(problemText(problem), { namespace: problem.namespace, name: problem.name, field: problem.field }),
    quiet: (owner) =>
      warn(`${owner ?? 'many objects'}: no more of what is wrong is told for a minute: see "sluice service problems"`),
  });

  const causes = createCauses(Date.now);
  const history = createHistory({ view: () => dataPath.maps.history.view, clock: Date.now, warn });

  const stop = new AbortController();
  // Each connection of the reflector listens, and each server.
  setMaxListeners(0, stop.signal);
  signal.addEventListener('abort', () => stop.abort(), { once: true });
  let failure: unknown;
  const fail = (error: unknown) => {
    failure ??= error;
    stop.abort();
  };
  let listed: number | undefined;
  let node: Node | undefined;
  const peers = createPeers(nodeName);
  let peersListed = false;
  let serviceCidrs: readonly string[] | undefined;
  /** None without --watch-pods; undefined: not known yet. */
  let optedOut: readonly bigint[] | undefined = options.watchPods ? undefined : [];
  let reconciler: Reconciler | undefined;
  let tables: Tables | undefined;
  let host = await readHost(signal);

  const sweeper = createSweeper({
    walk() {
      const [flows, halfOpenFlows] = [dataPath.program('sweep_flows'), dataPath.program('sweep_half_open')];
      if (flows === undefined || halfOpenFlows === undefined) return undefined;
      return runSweep({ flows, halfOpenFlows }, dataPath.maps);
    },
    maps: () => dataPath.maps,
    metrics,
    warn,
  });
  const socketOptOuts = createSocketOptOuts({
    find: (uids) => findPodCgroups(cgroupRoot, uids),
    changed(ids) {
      optedOut = ids;
      reconciler?.setSocketOptOuts(ids);
      schedule.wake();
    },
  });
  const changed = onceIdle(releaseMemory, RELEASE_IDLE_MS, RELEASE_AT_MOST_MS);
  const driftCheck = createDriftCheck({
    repaired(rows) {
      metrics.driftRows(rows);
      warn('the kernel did not hold what it should: put right', { rows });
    },
    warn,
  });
  const conditions = createConditions({
    checks: [
      {
        what: 'log',
        look: () => output.trouble && `lines are lost: ${output.trouble}`,
        silent: true,
      },
      {
        what: 'pins',
        look: createDisturbances({
          dataPath,
          tables: () => tables,
          linksLost() {
            reconciler?.linksLost();
            schedule.wake();
          },
          countLinks: (links) => metrics.linksLost(links),
          countRows: (rows) => metrics.driftRows(rows),
          warn,
        }),
      },
      { what: 'memory', look: () => memoryText(memoryUse(cgroup2Mount()?.directory ?? '/sys/fs/cgroup')) },
      {
        what: 'cgroups',
        look: () =>
          mount?.whole === false
            ? `${cgroupRoot} is a part of the machine's (this process has a cgroup namespace of its own): pods outside it have no socket hook; mount the node's cgroup v2 and name it with --cgroup-root`
            : undefined,
      },
      {
        what: 'state',
        look() {
          const saved = created.lastState?.serving();
          return saved && `no API server answers: the last state is served, of ${saved}`;
        },
      },
      { what: 'API server', look: () => silenceText(created.source.contact?.()), silent: true },
    ],
    warn,
    inform,
    changed: () => tellReport(),
  });
  const created = await createSource(options, nodeName, configuration, log, () => dataPath.served, stop.signal);
  const { source } = created;
  events = created.events;
  metrics.onScrape(() => {
    const { silentMs } = source.contact?.() ?? {};
    if (silentMs !== undefined) metrics.apiLastHeard((Date.now() - silentMs) / 1000);
  });
  const running = [
    source.run(
      {
        services(events) {
          for (const { key, object } of events) {
            compiler.setService(key, object);
            // What the first lists bring is the state that is found, not a change.
            if (reconciler !== undefined) causes.heard('Service', key, object, [key]);
          }
          telemetry.queued({ services: events.length, slices: 0 });
          schedule.wake();
        },
        endpointSlices(events) {
          for (const { key, object } of events) {
            const services = compiler.setSlice(key, object);
            if (reconciler !== undefined) causes.heard('EndpointSlice', key, object, services);
          }
          telemetry.queued({ services: 0, slices: events.length });
          schedule.wake();
        },
        node(next) {
          node = next;
          telemetry.setNode(next);
          reconciler?.setNode(next);
          schedule.wake();
        },
        nodes(events) {
          // By each one, that none is passed over.
          const changed = events.filter(({ key, object }) => peers.set(key.slice(key.indexOf('/') + 1), object));
          if (changed.length === 0) return;
          if (peersListed) reconciler?.setPeers(peers.state);
          schedule.wake();
        },
        nodesListed() {
          peersListed = true;
          reconciler?.setPeers(peers.state);
          schedule.wake();
        },
        serviceCidrs(networks) {
          // Beside another proxy an address that no Service of ours has may be one of its own.
          serviceCidrs = options.serviceProxyName === undefined ? networks : undefined;
          reconciler?.setServiceCidrs(serviceCidrs ?? []);
          tellReport();
          schedule.wake();
        },
        socketOptOuts: (uids) => socketOptOuts.set(uids),
        synced() {
          listed = performance.now();
          schedule.wake();
        },
        problem: ({ object, message }) => warn(message, { object }),
        note: ({ object, message }) => inform(message, { object }),
      },
      stop.signal,
    ),
    watchHost(
      (next) => {
        host = next;
        reconciler?.setHost(next);
        schedule.wake();
      },
      stop.signal,
      { onProblem: warn },
    ),
    sweeper.run(stop.signal),
    socketOptOuts.run(stop.signal),
    runServers({ configuration, health, metrics, warn }, stop.signal),
    conditions.run(stop.signal),
  ];
  if (source.contact !== undefined) setInterval(tellReport, API_REPORT_MS).unref();
  for (const part of running) part.catch(fail);

  const selectSeed = randomInt(1, 2 ** 32 - 1);
  const cookie = netnsCookie();
  const jiffiesPerSecond = await measureJiffiesPerSecond(stop.signal);
  /** NodeCIDR mode learns from the Node object whether it can tell pods: the knobs may change. */
  const load = () =>
    dataPath.load(
      knobsOf({
        configuration,
        socketLbPods: options.socketLb === 'all',
        socketOptOuts: options.watchPods,
        bindProtection: options.bindProtection,
        meshPorts: options.meshPorts,
        netnsCookie: cookie,
        jiffiesPerSecond,
        haveSetRetval: hasFeature(features, 'set_retval'),
        detectLocal: detectLocalImplemented(configuration, node),
        xdpMtu: xdpMtu(planXdp(selectNodeDevices(host, node, options.devices), options.xdp)),
        respectNetfilter: options.respectNetfilter,
        forwarding: options.forwarding,
        ownAddresses: primaryAddresses(node, configuration),
        selectSeed,
      }),
      stop.signal,
    );

  const start = async (): Promise<Reconciler> => {
    const written = await inTurns(createTablesSteps(dataPath.maps, { budgets: options.budgets }), stop.signal);
    tables = written;
    exportKernel(metrics, dataPath.maps, () => written.occupancy());
    const { devices, podDevices, forwarding, algorithm, xdp, externalAddresses } = options;
    const { apiServers } = created;
    const view = {
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
    dataPath.tellForwarding(forwarding);
    watchHandover();
    return createReconciler(
      { dataPath, tables: written, compiler, report, view, inform },
      {
        host,
        node,
        peers: peersListed ? peers.state : undefined,
        serviceCidrs: serviceCidrs ?? [],
        socketOptOuts: optedOut,
      },
    );
  };

  /** Stands by while kube-proxy serves, when that was asked for, and follows what `sluice migrate` asks. */
  function watchHandover(): void {
    if (options.standby && readKubeProxyRules(run).found.length > 0) dataPath.standBy();
    let detached = dataPath.detached;
    if (detached) inform('standing by: kube-proxy serves this node until "sluice migrate" takes over');
    setInterval(() => {
      if (dataPath.detached === detached) return;
      detached = dataPath.detached;
      inform(detached ? 'handed back: detaching' : 'taking over: attaching');
      reconciler?.handedOver();
      schedule.wake();
    }, HANDOVER_POLL_MS).unref();
  }

  const started = { time: new Date().toISOString(), at: performance.now(), done: false };
  let leftOutTold: readonly LeftOutDevice[] = [];
  let reported: number | undefined;
  /** For `sluice status`, which reads it with the agent dead too. */
  function tellReport(): void {
    if (reconciler === undefined) return;
    writeReport(dataPath.maps.report.view, {
      version: VERSION,
      node: nodeName,
      pid: process.pid,
      started: started.time,
      configurationFile: options.configFile ?? null,
      configuration: notes,
      options,
      serviceCidrs: serviceCidrs ?? null,
      respectNetfilter: options.respectNetfilter,
      leftOut: leftOutTold.slice(0, LEFT_OUT_TOLD).map(({ device, why }) => ({ device, why })),
      healthz: endpoint(configuration.healthz.address, configuration.healthz.port),
      ...apiReport(source.contact?.()),
      conditions: conditions.list(),
      problems: report.list(),
      moreProblems: 0,
    });
    reported = report.changes;
  }

  async function sync(periodic: boolean): Promise<boolean> {
    // The lists have not all arrived: nothing is written yet. What the Node says is part of how programs are loaded.
    if (listed === undefined) {
      if (performance.now() - started.at > LOAD_UNLISTED_MS) await load();
      return true;
    }
    if (takesDirectReturn(options.forwarding) || options.externalAddresses.refuseNodeAddresses) {
      source.watchNodes();
      // Peers are not forgotten at a start, not even for a moment: what they send would be lost.
      if (!peersListed && reconciler === undefined) return true;
    }
    await load();
    const first = reconciler === undefined;
    reconciler ??= await start();
    const began = performance.now();
    const result = await reconciler.sync(periodic && !first, stop.signal);
    started.done = true;
    const { services, frontends, backends, written, changes, failed } = result.applied;
    if (first) history.agent('start', { version: VERSION, node: nodeName, services });
    history.changed(changes, causes.of);
    causes.clear(new Set(failed.map(({ namespace, name }) => `${namespace}/${name}`)));
    const { leftOut } = result.view;
    const devicesChanged = !isDeepStrictEqual(leftOut, leftOutTold);
    leftOutTold = leftOut;
    if (first || devicesChanged || report.changes !== reported) tellReport();
    if (first || result.applied.stopped > 0) sweeper.wake();
    telemetry.synced(result, (performance.now() - began) / 1000, first || periodic);
    if (first)
      log.info(
        { services, frontends, backends, written, durationMs: Math.round(performance.now() - listed) },
        'synced',
      );
    else log.debug({ changed: result.changed.length, removed: result.removed.length, written }, 'applied');
    if (first || !periodic) changed();
    if (periodic && !first && tables !== undefined) driftCheck.start(tables, stop.signal);
    if (result.nextExpiry !== undefined)
      setTimeout(() => schedule.wake(), Math.max(0, result.nextExpiry - performance.now())).unref();
    // While kube-proxy serves, so does it answer these.
    if (!dataPath.detached) telemetry.syncHealthChecks(host, node).catch((error: Error) => warn(error.message));
    return result.ok;
  }

  /** Faults of a start end it, unless they may be gone soon; later ones are told and tried again. */
  async function syncOrTell(periodic: boolean): Promise<boolean> {
    try {
      return await sync(periodic);
    } catch (error) {
      if (stop.signal.aborted) return true;
      if (!started.done && !isTransient(error)) throw error;
      warn((error as Error).message);
      return false;
    }
  }

  // What makes a start impossible is to be known without an API server too.
  setTimeout(() => schedule.wake(), LOAD_UNLISTED_MS).unref();
  try {
    await schedule.run(syncOrTell, stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) fail(error);
  }
  await Promise.allSettled([...running, healthChecks.close()]);
  if (reconciler !== undefined) history.agent('stop', { version: VERSION, node: nodeName });
  dataPath.close();
  output.close();
  if (failure !== undefined) throw failure;
}

/** When the server said something last, RFC 3339. */
function lastHeardOf({ silentMs }: Contact): string | null {
  return silentMs === undefined ? null : new Date(Date.now() - silentMs).toISOString();
}

function apiReport(contact: Contact | undefined): Pick<AgentReport, 'api'> {
  return contact === undefined ? {} : { api: { server: contact.server, lastHeard: lastHeardOf(contact) } };
}

/** Each fault of the API server has its line in the log already; this is for `sluice status`. */
function silenceText(contact: Contact | undefined): string | undefined {
  if (contact?.silentMs === undefined || contact.silentMs < API_SILENT_MS) return undefined;
  const since = new Date(Math.floor((Date.now() - contact.silentMs) / 10_000) * 10_000).toISOString();
  return `nothing was heard of it since ${since}: what changes is not learnt`;
}

function findCgroupMount(): Cgroup2Mount {
  const mount = cgroup2Mount();
  if (mount !== undefined) return mount;
  throw new SluiceError(
    'CGROUP_MISSING',
    'find cgroup v2: it is not mounted; run "mount -t cgroup2 none /sys/fs/cgroup", or choose --cgroup-root',
  );
}
