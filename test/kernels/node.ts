/** What only an agent in the initial network namespace can show on old kernels, and what `sluice status` says. */
import { release } from 'node:os';
import type { Feature } from '../../src/bpf/features.ts';
import type { Status } from '../../src/cli/commands/status.ts';
import type { IpFamily } from '../support/lab/addressing.ts';
import type { Probe } from '../support/traffic/protocol.ts';
import type { Check } from './check.ts';
import { Machine } from './machine.ts';
import type { GuestLine } from './protocol.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];

/** Is the running kernel at least this one? @param version e.g. `5.14` */
function kernelIsAtLeast(version: string): boolean {
  const parts = (text: string) => text.split(/[.-]/).slice(0, 2).map(Number);
  const [major = 0, minor = 0] = parts(release());
  const [wantedMajor = 0, wantedMinor = 0] = parts(version);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

const has = (features: readonly Feature[], name: Feature['name']) =>
  features.some((feature) => feature.name === name && feature.present);

/** @throws Error unless each feature is there exactly on the kernels that have it, as the probe's table says */
function checkFeatures(features: readonly Feature[]): void {
  const wrong = features.filter(({ present, kernel }) => present !== kernelIsAtLeast(kernel));
  if (wrong.length === 0) return;
  throw new Error(wrong.map(({ name, kernel, present }) => `${name}, of kernel ${kernel}: ${present}`).join('\n'));
}

/** @throws Error unless every hook has its program, devices by tcx where there is tcx. */
function checkAttachments({ attachments, features }: Status): string {
  const by = has(features, 'tcx') ? 'tcx' : 'clsact';
  const hooks = attachments.filter(({ state }) => state !== 'detached').map(({ hook }) => hook);
  const missing = [`${by} ingress`, `${by} egress`, 'connect4', 'sendmsg6', 'getpeername4', 'sock_release'].filter(
    (hook) => !hooks.includes(hook),
  );
  if (missing.length > 0) throw new Error(`not attached: ${missing.join(', ')}; attached: ${hooks.join(', ')}`);
  return `${hooks.length} hooks, devices by ${by}`;
}

function mustAnswer(what: string, { ok, errno }: Probe): void {
  if (!ok) throw new Error(`${what}: ${errno}`);
}

export function nodeChecks(report: (line: GuestLine) => void): Check[] {
  const machine = new Machine();
  let features: readonly Feature[] = [];
  return [
    { name: 'an agent in the initial network namespace', vital: true, run: () => machine.start() },
    {
      name: 'sluice status tells what the kernel has',
      async run() {
        const status = await machine.status();
        features = status.features;
        for (const { name, present, effect } of features) report({ kind: 'feature', name, present, effect });
        checkFeatures(features);
        return checkAttachments(status);
      },
    },
    {
      name: 'a process of the node reaches a Service by its socket',
      async run() {
        for (const family of FAMILIES)
          for (const protocol of ['http', 'udp'] as const)
            mustAnswer(`${protocol} over ${family}`, await machine.dial(protocol, family));
        mustAnswer('127.0.0.1', await machine.dialLocalhost());
      },
    },
    {
      name: 'connect() without a backend is refused',
      async run() {
        for (const family of FAMILIES) {
          const { errno, who } = await machine.dialUnserved(family);
          if (errno !== 'ECONNREFUSED') throw new Error(`${family}: ${errno ?? `answer of ${who}`}`);
        }
        return has(features, 'set_retval') ? 'by the return value' : 'by way of port 0';
      },
    },
    {
      name: 'binding a NodePort is refused',
      async run() {
        const error = await machine.bindNodePort();
        const wanted = has(features, 'set_retval') ? 'EADDRINUSE' : 'EPERM';
        if (error === undefined || !error.includes(wanted))
          throw new Error(`not ${wanted}: ${error ?? 'it succeeded'}`);
        return wanted;
      },
    },
    {
      name: 'sluice agent --cleanup leaves nothing on the device',
      async run() {
        const left = await machine.cleanUp();
        if (left !== '') throw new Error(left);
      },
    },
  ];
}
