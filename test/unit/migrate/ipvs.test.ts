import { describe, expect, it } from 'vitest';
import { compareRules } from '../../../src/migrate/compare.ts';
import { createIpvsRules } from '../../../src/migrate/ipvs.ts';
import { createOurRules, type OurFrontend } from '../../../src/migrate/ours.ts';
import type { Rules } from '../../../src/migrate/rules.ts';
import { surroundings } from './world.ts';

const PROC = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A600001:0050 rr
  -> 0AF40202:1F90      Masq    1      0          0
  -> 0AF40102:1F90      Masq    1      3          0
  -> 0AF40302:1F90      Masq    0      1          0
TCP  AC1E000B:7531 rr
  -> 0AF40102:1F90      Masq    1      0          0
UDP  0A60000A:0035 rr persistent 10800 FFFFFFFF
  -> 0AF40102:14E9      Masq    1      0          0
TCP  0A600006:0050 rr
TCP  [fd96:0000:0000:0000:0000:0000:0000:0001]:0050 rr
  -> [fd44:0000:0000:0001:0000:0000:0000:0002]:1F90      Masq    1      0          0
FWM  00000001 rr
  -> 0AF40102:14E9      Masq    1      0          0
`;
const row = (address: string, port: number, backends: string[], more: Partial<OurFrontend> = {}): OurFrontend => ({
  name: 'shop/web:http',
  address,
  port,
  protocol: 'TCP',
  internal: backends,
  external: backends,
  internalDrop: false,
  externalDrop: false,
  router: false,
  masquerade: { pod: false, node: true, outside: true },
  affinitySeconds: 0,
  nodeAllowed: false,
  ...more,
});
const rows = [
  row('10.96.0.1', 80, ['10.244.1.2:8080', '10.244.2.2:8080']),
  row('0.0.0.0', 30001, ['10.244.1.2:8080']),
  row('10.96.0.10', 53, ['10.244.1.2:5353'], { protocol: 'UDP', affinitySeconds: 10_800 }),
  row('10.96.0.6', 80, []),
  row('fd96::1', 80, ['[fd44:0:0:1::2]:8080']),
];
const facts = surroundings();
const compare = (text: string) =>
  compareRules(createIpvsRules(text) as Rules, createOurRules(rows, new Set(['172.30.0.11'])), facts);

describe('virtual servers of IPVS', () => {
  it('are read in both families, NodePorts at the addresses of the node', () => {
    expect(compare(PROC)).toEqual({ compared: 5, differences: [] });
  });

  it.each([
    ['a server more', PROC.replace('0AF40302:1F90      Masq    0', '0AF40302:1F90      Masq    1'), 'backends'],
    ['no persistence', PROC.replace(' persistent 10800 FFFFFFFF', ''), 'affinity'],
    ['a virtual server less', PROC.replace(/^TCP {2}AC1E000B.*\n.*\n/m, ''), 'only sluice'],
    ['a virtual server more', PROC.replace('FWM', 'TCP  0A600009:0050 rr\nFWM'), 'only kube-proxy'],
  ])('%s is found', (_, text, kind) => {
    expect(compare(text).differences).toMatchObject([{ kind, clients: ['outside'] }]);
  });

  it('may be anything', () => {
    expect(createIpvsRules('')).toBeUndefined();
    expect(createIpvsRules('TCP  ZZ:0050 rr\n  -> x\nTCP\n  ->\nUDP  0A600001 rr\n')).toBeUndefined();
  });
});
