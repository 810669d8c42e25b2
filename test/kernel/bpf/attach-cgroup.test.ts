import { rmdirSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { attachCgroup } from '../../../src/bpf/attach-cgroup.ts';
import { detachAll } from '../../../src/bpf/attach-tc.ts';
import { listLinks } from '../../../src/bpf/links.ts';
import { type LoadedPrograms, loadPrograms } from '../../../src/bpf/loader.ts';
import { programId } from '../../../src/bpf/object.ts';
import { ensurePinDirectory, linkPin } from '../../../src/bpf/paths.ts';
import { zeroKnobs } from './knobs.ts';
import { compileObjects, makeCgroup, mountBpffs, runIn, SCHEMA, SMALL_MAPS } from './rig.ts';

const PROGRAMS = `${SCHEMA}
SEC("cgroup/connect4") int refuse(struct bpf_sock_addr *ctx) { return 0; }
SEC("cgroup/connect4") int allow(struct bpf_sock_addr *ctx) { return 1; }
`;
/** Connects a UDP socket: fails with EPERM where the program refuses. */
const CONNECT = [
  process.execPath,
  '-e',
  'const s=require("dgram").createSocket("udp4");s.connect(9,"127.0.0.1",(e)=>{process.stdout.write(e?e.code:"ok");s.close()})',
];

let bpffs: ReturnType<typeof mountBpffs>;
let objects: ReturnType<typeof compileObjects>;
let cgroup: ReturnType<typeof makeCgroup>;
let other: ReturnType<typeof makeCgroup>;
let loaded: LoadedPrograms;
let pins: string;
let pin: string;

const connect = (from: string) => runIn(from, ...CONNECT);
const attach = (program: string, to = cgroup.path) =>
  attachCgroup({ programFd: loaded.program(program), cgroup: to, attachType: 'connect4', pin });

beforeAll(async () => {
  bpffs = mountBpffs();
  cgroup = makeCgroup();
  other = makeCgroup();
  objects = compileObjects({ sock: PROGRAMS });
  pins = ensurePinDirectory(bpffs.root);
  pin = linkPin(pins, 'connect4');
  loaded = await loadPrograms({
    objectDirectory: objects.directory,
    pinDirectory: pins,
    knobs: zeroKnobs,
    mapSizes: SMALL_MAPS,
    objects: ['sock.bpf.o'],
  });
});

beforeEach(() => detachAll(pins));

afterAll(() => {
  if (pins) detachAll(pins);
  loaded?.close();
  for (const made of [objects, cgroup, other, bpffs]) made?.remove();
});

describe('attaching to a cgroup', () => {
  it('takes effect, for that cgroup only, until detached', () => {
    expect(attach('refuse')).toBe('created');
    expect(connect(cgroup.path)).toBe('EPERM');
    expect(connect(other.path)).toBe('ok');
    detachAll(pins);
    expect(connect(cgroup.path)).toBe('ok');
    expect(listLinks(pins)).toEqual([]);
  });

  it('updates the pinned link in place', () => {
    attach('refuse');
    const [before] = listLinks(pins);
    expect(attach('allow')).toBe('updated');
    expect(connect(cgroup.path)).toBe('ok');
    const [after] = listLinks(pins);
    expect(after).toMatchObject({
      id: before?.id,
      kind: 'cgroup',
      attachType: 10,
      attached: true,
      programId: programId(loaded.program('allow')),
    });
  });

  it('moves to another cgroup', () => {
    attach('refuse');
    expect(attach('refuse', other.path)).toBe('replaced');
    expect(connect(cgroup.path)).toBe('ok');
    expect(connect(other.path)).toBe('EPERM');
    expect(listLinks(pins).map((link) => link.name)).toEqual(['connect4']);
  });

  it('replaces a link whose cgroup is gone', () => {
    const short = makeCgroup();
    attach('refuse', short.path);
    rmdirSync(short.path);
    expect(attach('refuse')).toBe('replaced');
    expect(connect(cgroup.path)).toBe('EPERM');
  });

  it('leaves what ran when the new program does not fit', () => {
    attach('refuse');
    const wrong = () =>
      attachCgroup({ programFd: loaded.program('allow'), cgroup: cgroup.path, attachType: 'connect6', pin });
    expect(wrong).toThrow(
      expect.objectContaining({ code: 'ATTACH_FAILED', message: expect.stringContaining('attach connect6 to cgroup') }),
    );
    expect(connect(cgroup.path)).toBe('EPERM');
  });

  it('refuses a directory that is no cgroup v2', () => {
    expect(() => attach('refuse', '/run')).toThrow(expect.objectContaining({ code: 'CGROUP_MISSING' }));
    expect(() => attach('refuse', '/run/no-such-cgroup')).toThrow(expect.objectContaining({ code: 'CGROUP_MISSING' }));
  });
});
