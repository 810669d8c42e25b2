/** No balancer: the client dials a backend's address. The physical limit. */
import type { Competitor } from './competitor.ts';

/** @param name `direct`; a second one, `again`, shows what two equal nodes differ by */
export function direct(name: 'direct' | 'again'): Competitor {
  return {
    name,
    label:
      name === 'direct' ? 'no balancer: the pod itself is dialled' : 'no balancer, on a second node: shows the noise',
    parts: name === 'direct' ? ['connect', 'established', 'northsouth'] : ['connect', 'northsouth'],
    direct: true,
    install: async () => {},
  };
}
