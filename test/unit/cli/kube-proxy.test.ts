import { describe, expect, test } from 'vitest';
import { removeKubeProxy, restoreScript } from '../../../src/cli/kube-proxy.ts';
import type { Run } from '../../../src/host/run.ts';
import { sluice } from './fake-kernel.ts';

const SAVED = `# Generated
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-ABC - [0:0]
-A PREROUTING -m comment --comment "say -j KUBE-X" -j KUBE-SERVICES
-A PREROUTING -j MINE
-A KUBE-SERVICES -j KUBE-SVC-ABC
COMMIT
*filter
:INPUT ACCEPT [0:0]
:KUBE-NWPLCY-DEFAULT - [0:0]
COMMIT
`;

describe('what kube-proxy left (R-90)', () => {
  test('chains are emptied, unlinked and removed; those of others stay', () => {
    expect(restoreScript(SAVED)).toEqual({
      chains: 2,
      script: [
        '*nat',
        ':KUBE-SERVICES - [0:0]',
        ':KUBE-SVC-ABC - [0:0]',
        '-D PREROUTING -m comment --comment "say -j KUBE-X" -j KUBE-SERVICES',
        '-X KUBE-SERVICES',
        '-X KUBE-SVC-ABC',
        'COMMIT',
        '',
      ].join('\n'),
    });
    expect(restoreScript('*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n')).toEqual({ script: '', chains: 0 });
  });

  test('programs that are absent are passed over, sets go after the chains, failures are told', () => {
    const ran: string[] = [];
    const answers: Record<string, { code: number; stdout: string; stderr: string }> = {
      'iptables-save ': { code: 0, stdout: SAVED, stderr: '' },
      'iptables-restore --noflush': { code: 0, stdout: '', stderr: '' },
      'ipset list -n': { code: 0, stdout: 'KUBE-CLUSTER-IP\nKUBE-6-NODE-PORT-TCP\nKUBE-MINE\n', stderr: '' },
      'ipset destroy KUBE-CLUSTER-IP': { code: 0, stdout: '', stderr: '' },
      'ipset destroy KUBE-6-NODE-PORT-TCP': { code: 1, stdout: '', stderr: 'Set is in use\nmore' },
    };
    const execute: Run = (program, args) => {
      const key = `${program} ${args.join(' ')}`;
      ran.push(key);
      return answers[key];
    };
    expect(removeKubeProxy(execute)).toEqual({
      chains: 2,
      tables: 0,
      devices: 0,
      sets: 1,
      failures: ['destroy set KUBE-6-NODE-PORT-TCP: Set is in use'],
    });
    expect(ran).not.toContain('ipset destroy KUBE-MINE');
    expect(ran.indexOf('iptables-restore --noflush')).toBeLessThan(ran.indexOf('ipset list -n'));
  });

  test('before rules go, a rule is there by which open connections are followed on', () => {
    const ran: string[] = [];
    const answers: Record<string, string> = {
      'ip6tables-save ': SAVED,
      'nft list tables': 'table ip kube-proxy\ntable ip mine\n',
    };
    removeKubeProxy((program, args, input = '') => {
      const key = `${program} ${args.join(' ')}`;
      if (program !== 'nft' || args[0] !== 'list') ran.push(`${key} ${/^table.*/.exec(input)?.[0] ?? ''}`.trim());
      return { code: 0, stdout: answers[key] ?? '', stderr: '' };
    });
    const at = (text: string) => ran.findIndex((line) => line.startsWith(text));
    expect(at('nft -f - table ip6 sluice-open-connections')).toBeLessThan(at('ip6tables-restore'));
    expect(at('nft -f - table ip sluice-open-connections')).toBeLessThan(at('nft delete table ip kube-proxy'));
    expect(ran.filter((line) => line.startsWith('nft -f'))).toHaveLength(2);
  });

  test('is refused while nothing is attached, unless forced', async () => {
    const removeKubeProxy = () => ({ chains: 3, tables: 1, devices: 0, sets: 0, failures: [] });
    const refused = await sluice(['cleanup', '--kube-proxy'], { removeKubeProxy });
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toContain('start "sluice agent" first, or say --force');
    const forced = await sluice(['cleanup', '--kube-proxy', '--force'], { removeKubeProxy });
    expect(forced).toMatchObject({ code: 0, out: 'removed 3 chains, 1 table of kube-proxy\n' });
    const live = { removeKubeProxy, listFilters: () => [{ ifindex: 4, direction: 'ingress' }] };
    expect((await sluice(['cleanup', '--kube-proxy'], live)).code).toBe(0);
  });
});
