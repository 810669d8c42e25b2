/** Who takes part. */
import type { Competitor } from './competitor.ts';
import { direct } from './direct.ts';
import { kubeProxy } from './kube-proxy.ts';
import { iptables, nftables } from './rules.ts';
import { SLUICE_VARIANTS, sluice } from './sluice.ts';

/** @param environment KUBE_PROXY: path of a binary; IPTABLES: legacy or nft */
export function listCompetitors(environment: NodeJS.ProcessEnv = process.env): Competitor[] {
  const { KUBE_PROXY: binary, IPTABLES: variant } = environment;
  const kubeProxies = binary
    ? [kubeProxy('iptables', binary), kubeProxy('nftables', binary)]
    : [iptables(variant === 'nft' ? 'nft' : 'legacy'), nftables()];
  return [direct('direct'), direct('again'), ...kubeProxies, ...SLUICE_VARIANTS.map(sluice)];
}
