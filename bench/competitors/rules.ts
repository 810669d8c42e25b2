/** The two modes of kube-proxy, as rules modelled on what its source writes. */
import type { IptablesVariant } from '../../test/support/kube-proxy/process.ts';
import { nodeAddresses } from '../../test/support/lab/addressing.ts';
import type { LabNode } from '../../test/support/lab/node.ts';
import { iptablesRules } from '../rules/iptables.ts';
import { nftablesRules } from '../rules/nftables.ts';
import { type Competitor, NotAvailable, type PartName, type Place } from './competitor.ts';

const PARTS: readonly PartName[] = ['connect', 'established', 'northsouth', 'spread'];
const TIMEOUT_MS = 300_000;

/** Where the rules make conntrack keep what closed by a reset for 10 s, its table would fill: the machine's limit is not ours to raise. */
const FORGET_CLOSED = 'echo 1 > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close';

export async function forgetClosed(node: LabNode): Promise<void> {
  await node.exec(['sh', '-c', FORGET_CLOSED]);
}

async function restore({ node }: Place, argv: readonly string[], input: string): Promise<void> {
  const { code, stderr } = await node.exec(argv, { input, timeoutMs: TIMEOUT_MS });
  if (code !== 0) throw new NotAvailable(`${argv.join(' ')}: ${stderr.trim().split('\n')[0]}`);
}

export function iptables(variant: IptablesVariant): Competitor {
  return {
    name: 'iptables',
    label: `iptables mode, modelled (iptables-${variant})`,
    parts: PARTS,
    async install(place) {
      const rules = iptablesRules(place.services, { nodeName: place.node.name });
      await restore(place, [`iptables-${variant}-restore`], rules);
      await forgetClosed(place.node);
    },
  };
}

export function nftables(): Competitor {
  return {
    name: 'nftables',
    label: 'nftables mode, modelled',
    parts: PARTS,
    async install(place) {
      const nodeIps = Object.values(nodeAddresses(place.node.n, ['IPv4']));
      const rules = nftablesRules(place.services, { nodeName: place.node.name, nodeIps });
      await place.node.exec(['nft', 'delete', 'table', 'ip', 'kube-proxy']); // absent at first
      for (const transaction of rules) await restore(place, ['nft', '-f', '-'], transaction);
      await forgetClosed(place.node);
    },
  };
}
