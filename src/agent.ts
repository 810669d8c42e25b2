/** Wires the agent: sources → compiler → tables → kernel, with the servers beside them. */
import { randomInt } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { release } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { type Logger, pino } from 'pino';
import { SCHEMA_VERSION } from '../maps-schema/gen/codecs.ts';
import { version as VERSION } from '../package.json';
import { describeFeature, hasFeature, probeFeatures } from './bpf/features.ts';
import { measureJiffiesPerSecond } from './bpf/jiffies.ts';
import { netnsCookie } from './bpf/netns.ts';
import { releaseMemory } from './bpf/release-memory.ts';
import { runSweep } from './bpf/sweep.ts';
import { type AgentOptions, logLevelOf, nodeNameOf } from './cli/agent-options.ts';
import { endpoint } from './cli/format.ts';
import { createCompiler } from './compile/compiler.ts';
import { loadSources } from './config/sources.ts';
import { cgroup2Mount } from './host/cgroup.ts';
import { readKubeProxyRules } from './host/kube-proxy-rules.ts';
import { detectLocalImplemented, primaryAddresses } from './host/node.ts';
import { setOomScoreAdj } from './host/oom.ts';
import { createPeers } from './host/peers.ts';
import { planXdp, xdpMtu } from './host/plan-xdp.ts';
import { findPodCgroups } from './host/pod-cgroups.ts';
import { readHost } from './host/read.ts';
import { run } from './host/run.ts';
import { type LeftOutDevice, selectNodeDevices } from './host/select-devices.ts';
import { watchHost } from './host/watch.ts';
import { createApiSource } from './kube/api-source.ts';
import { createEventRecorder, type EventRecorder } from './kube/events.ts';
import { loadKubeConfig } from './kube/kubeconfig.ts';
import { createManifestSource } from './kube/manifest-source.ts';
import { writeReport } from './model/agent-report.ts';
import type { Configuration } from './model/configuration.ts';
import { SluiceError } from './model/errors.ts';
import type { Node } from './model/kubernetes.ts';
import type { ObjectSource } from './model/source.ts';
import { createDataPath } from './reconcile/datapath.ts';
import { createDriftCheck } from './reconcile/drift-check.ts';
import { knobsOf } from './reconcile/knobs.ts';
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
import { createMetrics } from './serve/metrics.ts';
import { createTables, type Tables } from './tables/tables.ts';

/** Milliseconds without a change after which the memory that the first lists took is given back, and at the latest. */
const RELEASE_IDLE_MS = 2000;
const RELEASE_AT_MOST_MS = 10_000;
/** Milliseconds between two looks at what `sluice migrate` asks for. */
const HANDOVER_POLL_MS = 500;
/** Devices left out that `sluice status` names. */
const LEFT_OUT_TOLD = 32;

async function createSource(
  options: AgentOptions,
  nodeName: string,
  configuration: Configuration,
  log: Logger,
  signal: AbortSignal,
): Promise<{ readonly source: ObjectSource; readonly events?: EventRecorder }> {
  const { source, serviceProxyName, watchPods } = options;
  if (source.kind === 'manifests')
    return { source: createManifestSource({ directory: source.directory, nodeName, serviceProxyName, watchPods }) };
  const kubeconfigFile = source.kind === 'kubeconfig' ? source.file : configuration.clientKubeconfig || undefined;
  const kubeConfig = await loadKubeConfig({ kubeconfigFile, server: options.master });
  const common = {
    kubeConfig,
    nodeName,
    serviceProxyName,
    watchPods,
    log: (message: string, fields: object) => log.debug(fields, message),
  };
  return { source: createApiSource(common), events: createEventRecorder({ ...common, signal }) };
}

/**
 * Runs until the signal aborts; the data path stays in force then.
 * @param objectDirectory where `make build` left the compiled programs.
 * @throws SluiceError for what makes a start impossible; later faults are logged and retried.
 */
export async function runAgent(options: AgentOptions, objectDirectory: string, signal: AbortSignal): Promise<void> {
  const log = pino({ level: options.logLevel ?? 'info', base: undefined, timestamp: pino.stdTimeFunctions.isoTime });
  const warn = (message: string, fields: Record<string, unknown> = {}) => log.warn(fields, message);
  const inform = (message: string, fields: Record<string, unknown> = {}) => log.info(fields, message);
  const { configuration, notes, warnings } = loadSources(options);
  if (options.logLevel === undefined) log.level = logLevelOf(configuration.verbosity);
  for (const warning of warnings) warn(warning);
  for (const { key, disposition, why, set } of notes) if (set) log.info({ key, disposition }, `configuration: ${why}`);
  const nodeName = nodeNameOf(options, configuration.hostnameOverride);
  if (configuration.oomScoreAdj !== undefined) setOomScoreAdj(configuration.oomScoreAdj, warn);

  const cgroupRoot = options.cgroupRoot ?? findCgroupRoot();
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
  const report = createReporter((problem) =>
    warn(problemText(problem), { namespace: problem.namespace, name: problem.name, field: problem.field }),
  );

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
  const created = await createSource(options, nodeName, configuration, log, stop.signal);
  const { source } = created;
  events = created.events;
  const running = [
    source.run(
      {
        services(events) {
          for (const { key, object } of events) compiler.setService(key, object);
          telemetry.queued({ services: events.length, slices: 0 });
          schedule.wake();
        },
        endpointSlices(events) {
          for (const { key, object } of events) compiler.setSlice(key, object);
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
          if (reconciler !== undefined) tellReport();
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
  ];
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

  const start = (): Reconciler => {
    const written = createTables(dataPath.maps);
    tables = written;
    exportKernel(metrics, dataPath.maps, () => written.occupancy());
    const { devices, podDevices, forwarding, xdp } = options;
    const view = { nodeName, configuration, devices, podDevices, forwarding, xdp };
    dataPath.tellForwarding(forwarding);
    watchHandover();
    return createReconciler(
      { dataPath, tables: written, compiler, report, view, warn, inform },
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

  const started = new Date().toISOString();
  let leftOutTold: readonly LeftOutDevice[] = [];
  let reported: number | undefined;
  /** For `sluice status`, which reads it with the agent dead too. */
  function tellReport(): void {
    writeReport(dataPath.maps.report.view, {
      version: VERSION,
      node: nodeName,
      pid: process.pid,
      started,
      configurationFile: options.configFile ?? null,
      configuration: notes,
      serviceCidrs: serviceCidrs ?? null,
      respectNetfilter: options.respectNetfilter,
      leftOut: leftOutTold.slice(0, LEFT_OUT_TOLD).map(({ device, why }) => ({ device, why })),
      healthz: endpoint(configuration.healthz.address, configuration.healthz.port),
      problems: report.list(),
      moreProblems: 0,
    });
    reported = report.changes;
  }

  async function sync(periodic: boolean): Promise<boolean> {
    // The lists have not all arrived: nothing is written yet.
    if (listed === undefined) return true;
    if (options.forwarding.mode !== 'snat' || options.forwarding.watchNodes || compiler.wantsPeers()) {
      source.watchNodes();
      // Peers are not forgotten at a start, not even for a moment: what they send would be lost.
      if (!peersListed && reconciler === undefined) return true;
    }
    await load();
    const first = reconciler === undefined;
    reconciler ??= start();
    const began = performance.now();
    const result = reconciler.sync(periodic && !first);
    const { services, frontends, backends, written } = result.applied;
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
      setTimeout(() => schedule.wake(), result.nextExpiry - performance.now()).unref();
    // While kube-proxy serves, so does it answer these.
    if (!dataPath.detached) telemetry.syncHealthChecks(host, node).catch((error: Error) => warn(error.message));
    return result.ok;
  }

  try {
    await load();
    await schedule.run(sync, stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) fail(error);
  }
  await Promise.allSettled([...running, healthChecks.close()]);
  dataPath.close();
  if (failure !== undefined) throw failure;
}

function findCgroupRoot(): string {
  const mount = cgroup2Mount();
  if (mount !== undefined) return mount;
  throw new SluiceError(
    'CGROUP_MISSING',
    'find cgroup v2: it is not mounted; run "mount -t cgroup2 none /sys/fs/cgroup", or choose --cgroup-root',
  );
}
