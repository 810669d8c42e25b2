import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadPrograms } from '../../../src/bpf/loader.ts';
import { ensurePinDirectory } from '../../../src/bpf/paths.ts';
import { zeroKnobs } from './knobs.ts';
import { compileObjects, mountBpffs, SCHEMA, SMALL_MAPS } from './rig.ts';

/** A map that no kernel makes: the verifier is never asked, only libbpf knows what went wrong. */
const NO_ROOM = `${SCHEMA}
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 0);
	__type(key, __u32);
	__type(value, __u32);
} nothing SEC(".maps");
SEC("tc") int use(struct __sk_buff *skb)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&nothing, &zero) ? 1 : 0;
}
`;

let bpffs: ReturnType<typeof mountBpffs>;
let objects: ReturnType<typeof compileObjects>;

beforeAll(() => {
  bpffs = mountBpffs();
  objects = compileObjects({ no_room: NO_ROOM });
});

afterAll(() => {
  objects?.remove();
  bpffs?.remove();
});

it('shows what libbpf says where the verifier says nothing', async () => {
  const loading = loadPrograms({
    objectDirectory: objects.directory,
    pinDirectory: ensurePinDirectory(bpffs.root),
    knobs: zeroKnobs,
    mapSizes: SMALL_MAPS,
    objects: ['no_room.bpf.o'],
  });
  await expect(loading).rejects.toMatchObject({
    code: 'LOAD_FAILED',
    message: expect.stringMatching(
      /^load no_room\.bpf\.o: bpf_object__load: EINVAL\n(.*\n)*.*map 'nothing': failed to create/,
    ),
  });
});
