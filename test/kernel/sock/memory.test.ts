/** A socket knows the name of its peer though the table of all sockets has forgotten it: another pod can fill that. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FRONTEND_CLUSTER_IP } from '../../../maps-schema/gen/codecs.ts';
import { attachCgroup, type CgroupHook } from '../../../src/bpf/attach-cgroup.ts';
import { detachAll } from '../../../src/bpf/attach-tc.ts';
import { loadPrograms } from '../../../src/bpf/loader.ts';
import { openMaps } from '../../../src/bpf/open-maps.ts';
import { ensurePinDirectory, linkPin } from '../../../src/bpf/paths.ts';
import { createTables } from '../../../src/tables/tables.ts';
import { backend, frontend, service } from '../../support/packet/services.ts';
import { zeroKnobs } from '../bpf/knobs.ts';
import { enterNamespace, makeCgroup, mountBpffs, runIn, SMALL_MAPS } from '../bpf/rig.ts';

const OBJECTS = process.env.SLUICE_BPF_OBJECTS ?? fileURLToPath(new URL('../../../dist/bpf', import.meta.url));
const SCRIPT = fileURLToPath(new URL('../../support/traffic/forgotten.py', import.meta.url));
const HOOKS: readonly CgroupHook[] = [
  'connect4',
  'connect6',
  'sendmsg4',
  'sendmsg6',
  'recvmsg4',
  'recvmsg6',
  'getpeername4',
  'getpeername6',
];
const VIP = { 4: '10.96.0.10', 6: 'fd00:10:96::a' } as const;
const SERVER = { 4: '127.0.0.2', 6: '::1' } as const;
const PORT = 9999;

const undo: (() => void)[] = [];
let cgroup = '';

beforeAll(async () => {
  const bpffs = mountBpffs();
  undo.push(() => bpffs.remove());
  const made = makeCgroup();
  undo.push(() => made.remove());
  cgroup = made.path;
  const namespace = enterNamespace();
  undo.push(() => namespace.leave());
  const pins = ensurePinDirectory(bpffs.root);
  const loaded = await loadPrograms({
    objectDirectory: OBJECTS,
    pinDirectory: pins,
    knobs: { ...zeroKnobs, jiffiesPerSecond: 1000, udpStreamSeconds: 120, socketLbPods: 1, haveSetRetval: 1 },
    mapSizes: { ...SMALL_MAPS, sockPeers: 64, sockFlows: 64 },
    objects: ['sock.bpf.o'],
  });
  undo.push(() => loaded.close());
  const maps = openMaps(pins);
  undo.push(() => maps.close());
  const services = ([4, 6] as const).flatMap((family) =>
    (['TCP', 'UDP'] as const).map((protocol) =>
      service(`${protocol}-${family}`.toLowerCase(), {
        protocol,
        frontends: [frontend(VIP[family], 53, { flags: FRONTEND_CLUSTER_IP })],
        cluster: [backend(SERVER[family], { port: PORT })],
      }),
    ),
  );
  createTables(maps, { graceMs: 0 }).apply({ changed: services, removed: [] }, { complete: true });
  for (const hook of HOOKS)
    attachCgroup({ programFd: loaded.program(hook), cgroup, attachType: hook, pin: linkPin(pins, hook) });
  undo.push(() => detachAll(pins));
});
afterAll(() => {
  for (const step of undo.reverse()) step();
});

describe.each([4, 6] as const)('IPv%i', (family) => {
  const told = (what: string): unknown => {
    const output = runIn(cgroup, 'python3', SCRIPT, what, VIP[family], '53', SERVER[family], String(PORT));
    try {
      return JSON.parse(output);
    } catch {
      return output;
    }
  };

  it.each(['udp', 'connected', 'tcp'])('%s: the name stays', (what) => {
    expect(told(what)).toEqual([VIP[family], 53]);
  });

  it('what it speaks to by itself from then on has its own', () => {
    expect(told('itself')).toEqual([SERVER[family], PORT]);
  });
});
