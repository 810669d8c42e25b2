/** Why kube-proxy's rules and ours differ, as far as that can be told from the two answers. */
import type { Address } from '../model/address.ts';
import type { DifferenceKind } from './compare.ts';
import type { Answer, Client, Frontend } from './rules.ts';

export interface Reason {
  readonly reason: string;
  readonly known: boolean;
}

export interface Case {
  readonly frontend: Frontend;
  readonly client: Client;
  readonly local: ReadonlySet<Address>;
}

const known = (reason: string): Reason => ({ reason, known: true });
const open = (reason: string): Reason => ({ reason, known: false });

export function reasonOf(
  kind: DifferenceKind,
  theirs: Answer,
  ours: Answer,
  { frontend, client, local }: Case,
): Reason {
  const atNode = local.has(frontend.address);
  switch (kind) {
    case 'only sluice':
      if (client === 'node' && !atNode && ours.verdict === 'refuse')
        return known('kube-proxy refuses this to others, but not to the node itself; Sluice refuses it to everybody');
      if (ours.verdict === 'refuse' || ours.verdict === 'drop')
        return open('kube-proxy has no rule for it: it left the Service out, or has not seen it yet');
      return atNode
        ? open('another choice of addresses for NodePorts: compare nodePortAddresses and mode of both configurations')
        : open('kube-proxy has no rule for it: is it running, and has it seen the Service?');
    case 'only kube-proxy':
      return atNode
        ? open(
            'kube-proxy answers NodePorts at this address and Sluice does not: without nodePortAddresses its iptables mode takes every address, Sluice the primary one; set nodePortAddresses',
          )
        : open(
            'Sluice does not serve it: "sluice status" names Services that were refused, and kube-proxy may have kept rules of one that is gone',
          );
    case 'verdict':
      if (client === 'outside' && theirs.verdict === 'refuse' && ours.verdict === 'drop')
        return known(
          'its policy leaves only endpoints of this node and there is none: Sluice drops, as iptables and nftables modes do, where IPVS refuses',
        );
      if (client === 'node' && theirs.verdict === 'drop' && ours.verdict === 'backends' && theirs.networks.length === 0)
        return known(
          'its policy is Local and no endpoint is here: nftables mode drops what the node itself sends, Sluice sends it to the others, as iptables mode does',
        );
      if (ours.verdict === 'drop' && ours.networks.length > 0)
        return open(
          'loadBalancerSourceRanges: Sluice closes what every range of is malformed, kube-proxy leaves it open',
        );
      return open('one of the two has not seen the last change of the endpoints, or a rule of a policy differs');
    case 'backends':
      return open(
        'one of the two has not seen the last change of the endpoints, or chooses by other hints of topology',
      );
    case 'masquerade':
      return open(
        'whose addresses count as pods: compare clusterCIDR, detectLocalMode and masqueradeAll of both configurations',
      );
    case 'affinity':
      return open('one of the two has not seen the last change of sessionAffinity');
    case 'source ranges':
      return open('loadBalancerSourceRanges: one of the two lets in a source that the other keeps out');
    case 'not understood':
      return open('a rule that kube-proxy 1.36 does not write, or that somebody changed: look at it by hand');
  }
}
