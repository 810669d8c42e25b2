import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as schema from '../../../maps-schema/gen/codecs.ts';
import { attachTc, detachAll, detachTc } from '../../../src/bpf/attach-tc.ts';
import { CLSACT_PRIORITY, type Direction } from '../../../src/bpf/clsact.ts';
import { linkCreate } from '../../../src/bpf/link.ts';
import { listLinks } from '../../../src/bpf/links.ts';
import { type LoadedPrograms, loadPrograms } from '../../../src/bpf/loader.ts';
import { type Maps, openMaps } from '../../../src/bpf/open-maps.ts';
import { ensurePinDirectory, linkName, linkPin, programPin } from '../../../src/bpf/paths.ts';
import { pinPrograms } from '../../../src/bpf/programs.ts';
import { close } from '../../../src/bpf/syscall.ts';
import { haveTcx, queryTcx } from '../../../src/bpf/tcx.ts';
import { zeroKnobs } from './knobs.ts';
import { compileObjects, enterNamespace, ifindexOf, mountBpffs, run, SCHEMA, SMALL_MAPS } from './rig.ts';

/** Counts IPv4 packets under a number, so that a test sees which program ran. */
const program = (name: string, reason: number) => `
SEC("tc") int ${name}(struct __sk_buff *skb)
{
	__u32 reason = ${reason};
	struct counter *c = bpf_map_lookup_elem(&counters, &reason);

	if (c && skb->protocol == bpf_htons(0x0800))
		c->packets += 1;
	return -1;
}`;

let bpffs: ReturnType<typeof mountBpffs>;
let objects: ReturnType<typeof compileObjects>;
let namespace: ReturnType<typeof enterNamespace>;
let loaded: LoadedPrograms;
let maps: Maps;
let pins: string;
const DEVICE = 'sl.0';

const count = (reason: number) =>
  maps.counters.lookup(reason).reduce((sum, cpu) => sum + schema.counter.read(cpu, 0).packets, 0n);
const pinOf = (direction: Direction) => linkPin(pins, linkName(DEVICE, direction));
const attach = (name: string, direction: Direction, tcx?: boolean) =>
  attachTc({
    programFd: loaded.program(name),
    ifindex: ifindexOf(DEVICE),
    device: DEVICE,
    direction,
    pin: pinOf(direction),
    tcx,
  });
const filters = (direction: Direction) => run('tc', 'filter', 'show', 'dev', DEVICE, direction).trim();
const qdiscs = () => run('tc', 'qdisc', 'show', 'dev', DEVICE);

function makeDevices(): void {
  run('ip', 'link', 'add', DEVICE, 'index', '1000', 'type', 'veth', 'peer', 'name', 'sl.1');
  run('ip', 'addr', 'add', '10.77.0.1/24', 'dev', DEVICE);
  run('ip', 'link', 'set', DEVICE, 'up');
  run('ip', 'link', 'set', 'sl.1', 'up');
  run('ip', 'neigh', 'add', '10.77.0.2', 'lladdr', '02:00:00:00:00:02', 'dev', DEVICE);
}

/** Sends a packet out of the device. Nobody answers: only its way out matters. */
const sendOne = () => {
  spawnSync('ping', ['-c', '1', '-W', '0.05', '-q', '10.77.0.2']);
};

beforeAll(async () => {
  bpffs = mountBpffs();
  objects = compileObjects({ tc: SCHEMA + program('one', 1) + program('two', 2) });
  pins = ensurePinDirectory(bpffs.root);
  loaded = await loadPrograms({
    objectDirectory: objects.directory,
    pinDirectory: pins,
    knobs: zeroKnobs,
    mapSizes: SMALL_MAPS,
    objects: ['tc.bpf.o'],
  });
  maps = openMaps(pins);
  namespace = enterNamespace();
});

beforeEach(() => {
  if (run('ip', '-o', 'link', 'show').includes(DEVICE)) run('ip', 'link', 'del', DEVICE);
  detachAll(pins);
  makeDevices();
});

afterAll(() => {
  if (pins) detachAll(pins);
  namespace?.leave();
  maps?.close();
  loaded?.close();
  objects?.remove();
  bpffs?.remove();
});

/** @returns how much two counters grew. */
function grown(act: () => void): [boolean, boolean] {
  const before = [count(1), count(2)];
  act();
  return [count(1) > (before[0] ?? 0n), count(2) > (before[1] ?? 0n)];
}

describe.runIf(haveTcx())('a tcx link', () => {
  it('runs, is updated in place and detached', () => {
    expect(attach('one', 'egress')).toBe('created');
    expect(grown(sendOne)).toEqual([true, false]);
    const [before] = listLinks(pins);
    expect(before).toMatchObject({ kind: 'tcx', attachType: 47, target: BigInt(ifindexOf(DEVICE)), attached: true });
    expect(attach('two', 'egress')).toBe('updated');
    expect(grown(sendOne)).toEqual([false, true]);
    expect(listLinks(pins)[0]?.id).toBe(before?.id);
    detachTc({ pin: pinOf('egress') });
    expect(grown(sendOne)).toEqual([false, false]);
  });

  it('is made again when its device was made again', () => {
    attach('one', 'egress');
    run('ip', 'link', 'del', DEVICE);
    expect(listLinks(pins)[0]?.attached).toBe(false);
    makeDevices();
    expect(attach('one', 'egress')).toBe('replaced');
    expect(grown(sendOne)).toEqual([true, false]);
  });

  it('is made again for a device of the same index in another namespace', () => {
    attach('one', 'egress');
    const inner = enterNamespace();
    try {
      makeDevices();
      expect(attach('one', 'egress')).toBe('replaced');
      expect(grown(sendOne)).toEqual([true, false]);
    } finally {
      inner.leave();
    }
  });

  it('runs beside the links of others', () => {
    const foreign = linkCreate(loaded.program('two'), ifindexOf(DEVICE), 47);
    attach('one', 'egress');
    expect(grown(sendOne)).toEqual([true, true]);
    expect(queryTcx(ifindexOf(DEVICE), 'egress')).toHaveLength(2);
    close(foreign);
  });

  it('is refused for a device that is not there, with its name', () => {
    const attaching = () =>
      attachTc({
        programFd: loaded.program('one'),
        ifindex: 999999,
        device: 'eth9',
        direction: 'ingress',
        pin: pinOf('ingress'),
      });
    expect(attaching).toThrow(
      expect.objectContaining({
        code: 'ATTACH_FAILED',
        message: 'attach tcx ingress to eth9: BPF_LINK_CREATE: ENODEV',
      }),
    );
    expect(listLinks(pins)).toEqual([]);
  });
});

describe('a clsact filter', () => {
  it('runs, is replaced in place, and leaves no qdisc', () => {
    expect(attach('one', 'egress', false)).toBe('created');
    expect(attach('one', 'ingress', false)).toBe('created');
    expect(grown(sendOne)).toEqual([true, false]);
    expect(attach('two', 'egress', false)).toBe('updated');
    expect(grown(sendOne)).toEqual([false, true]);
    expect(filters('egress').match(/handle 0x1/g)).toHaveLength(1);
    detachTc({ pin: pinOf('egress') });
    expect(filters('egress')).toBe('');
    expect(filters('ingress')).not.toBe('');
    detachTc({ pin: pinOf('ingress') });
    expect(qdiscs()).not.toContain('clsact');
  });

  it('leaves the qdisc and the filters of others', () => {
    run('tc', 'qdisc', 'add', 'dev', DEVICE, 'clsact');
    attach('one', 'egress', false);
    detachAll(pins);
    expect(qdiscs()).toContain('clsact');
    expect(filters('egress')).toBe('');
  });

  it.each([
    ['before', '7'],
    ['after', '2000'],
  ])('runs with a filter of others %s it, which survives replacing and detaching ours', (_when, priority) => {
    pinPrograms(new Map([['foreign', loaded.program('two')]]), pins);
    run('tc', 'qdisc', 'add', 'dev', DEVICE, 'clsact');
    const filter = ['filter', 'add', 'dev', DEVICE, 'egress', 'prio', priority, 'bpf', 'da', 'object-pinned'];
    run('tc', ...filter, programPin(pins, 'foreign'));
    expect(attach('one', 'egress', false)).toBe('created');
    expect(grown(sendOne)).toEqual([true, true]);
    expect(attach('one', 'egress', false)).toBe('updated');
    expect(grown(sendOne)).toEqual([true, true]);
    const order = [...filters('egress').matchAll(/pref (\d+) bpf chain 0 handle/g)].map(([, pref]) => Number(pref));
    expect(order).toEqual([CLSACT_PRIORITY, Number(priority)].sort((a, b) => a - b));
    detachAll(pins);
    expect(grown(sendOne)).toEqual([false, true]);
  });

  it('of others runs after a link of ours', () => {
    pinPrograms(new Map([['foreign', loaded.program('two')]]), pins);
    run('tc', 'qdisc', 'add', 'dev', DEVICE, 'clsact');
    run('tc', 'filter', 'add', 'dev', DEVICE, 'egress', 'bpf', 'da', 'object-pinned', programPin(pins, 'foreign'));
    attach('one', 'egress');
    expect(grown(sendOne)).toEqual([true, true]);
    detachAll(pins);
    expect(grown(sendOne)).toEqual([false, true]);
  });

  it('leaves a qdisc of ours that somebody else has begun to use', () => {
    attach('one', 'egress', false);
    run('tc', 'filter', 'add', 'dev', DEVICE, 'ingress', 'prio', '7', 'bpf', 'bytecode', '1,6 0 0 0');
    detachAll(pins);
    expect(filters('ingress')).toContain('pref 7 bpf');
  });

  it('gives way to a link, and a link to it', () => {
    attach('one', 'egress', false);
    attach('two', 'egress', true);
    expect(filters('egress')).toBe('');
    expect(grown(sendOne)).toEqual([false, true]);
    attach('one', 'egress', false);
    expect(listLinks(pins)).toEqual([]);
    expect(grown(sendOne)).toEqual([true, false]);
  });

  it('of a device that is gone is forgotten', () => {
    attach('one', 'egress', false);
    run('ip', 'link', 'del', DEVICE);
    expect(() => detachAll(pins)).not.toThrow();
    makeDevices();
    expect(attach('one', 'egress', false)).toBe('created');
  });
});
