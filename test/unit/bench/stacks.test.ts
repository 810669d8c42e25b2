import { expect, it } from 'vitest';
import { sharesOf } from '../../../bench/packet/stacks.ts';

const TEXT = `
 ffffffff81 htab_map_hash
 ffffffff82 __htab_map_lookup_elem
 ffffffffc0 bpf_prog_73cad059d4bd64f5_xdp_ingress
 ffffffff83 bpf_test_run

 ffffffffc0 bpf_prog_73cad059d4bd64f5_xdp_ingress
 ffffffff83 bpf_test_run

 ffffffff84 do_syscall_64
 ffffffff85 entry_SYSCALL_64
`;

it('adds up the samples under a function, by the function that they fell into', () => {
  expect(sharesOf(TEXT, 'bpf_test_run')).toEqual([
    { name: 'xdp_ingress', self: 0.5, total: 1 },
    { name: 'htab_map_hash', self: 0.5, total: 0.5 },
    { name: 'bpf_test_run', self: 0, total: 1 },
    { name: '__htab_map_lookup_elem', self: 0, total: 0.5 },
  ]);
});

it('a function in a stack twice counts once', () => {
  const text = '\n 1 a\n 2 a\n 3 root\n';
  expect(sharesOf(text, 'root')).toEqual([
    { name: 'a', self: 1, total: 1 },
    { name: 'root', self: 0, total: 1 },
  ]);
});
