/** Who takes part. */
import type { Competitor } from './competitor.ts';
import { direct } from './direct.ts';
import { kubeProxy } from './kube-proxy.ts';
import { iptables, nftables } from './rules.ts';
import { SLUICE_VARIANTS, sluice } from './sluice.ts';

/** Left out of the quick form, for its three minutes: programs of sluice-xdp, and what only a flag asks for. */
const NOT_QUICK: readonly string[] = ['sluice-xdp-generic', 'sluice-tc-netfilter'];

/**
 * @param quick who takes part where nobody is named
 * @param environment KUBE_PROXY: path of a binary; IPTABLES: legacy or nft; COMPETITORS: names, all others stay out
 * @throws Error for a name that nobody has
 */
export function listCompetitors(quick = false, environment: NodeJS.ProcessEnv = process.env): Competitor[] {
  const { KUBE_PROXY: path, COMPETITORS: wanted } = environment;
  // legacy by default: on every machine tried it is the faster of the two, with rules and with packets.
  const variant = environment.IPTABLES === 'nft' ? 'nft' : 'legacy';
  const kubeProxies = path
    ? [kubeProxy('iptables', { path, iptables: variant }), kubeProxy('nftables', { path, iptables: variant })]
    : [iptables(variant), nftables()];
  const all = [direct('direct'), direct('again'), ...kubeProxies, ...SLUICE_VARIANTS.map(sluice)];
  if (!wanted) return quick ? all.filter(({ name }) => !NOT_QUICK.includes(name)) : all;
  const names = wanted.split(',');
  const unknown = names.find((name) => !all.some((one) => one.name === name));
  if (unknown !== undefined)
    throw new Error(`read COMPETITORS: there is no ${unknown}; there are ${all.map(({ name }) => name).join(', ')}`);
  return all.filter(({ name }) => names.includes(name));
}
