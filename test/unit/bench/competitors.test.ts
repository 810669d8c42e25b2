import { describe, expect, it } from 'vitest';
import type { Competitor } from '../../../bench/competitors/competitor.ts';
import { listCompetitors } from '../../../bench/competitors/list.ts';
import { outsideTargets } from '../../../bench/parts/northsouth.ts';
import type { World } from '../../../bench/world/world.ts';

const competitors = listCompetitors(false, {});
const shared = { nodePort: 30080, endpoints: [{ address: '10.244.9.2', nodeName: 'node9' }] };
const own = { nodePort: 30082, endpoints: [{ address: '10.244.10.2', nodeName: 'node10' }] };
const world = {
  nodeOf: (one: Competitor) => ({
    ipv4: `172.30.0.${11 + competitors.indexOf(one)}`,
    pod: () => ({ ipv4: '10.244.1.2' }),
  }),
  remoteOf: ({ ownBackends }: Competitor) => (ownBackends ? own : shared),
} as unknown as World;

describe('who is compared', () => {
  it('only direct server return has backends to itself', () => {
    expect(competitors.filter(({ ownBackends }) => ownBackends).map(({ name }) => name)).toEqual(['sluice-dsr']);
  });

  it('the quick form leaves out generic XDP and what only a flag asks for, unless they are named', () => {
    const names = (quick: boolean, wanted?: string) =>
      listCompetitors(quick, wanted === undefined ? {} : { COMPETITORS: wanted }).map(({ name }) => name);
    expect(names(false).filter((name) => !names(true).includes(name))).toEqual([
      'sluice-tc-netfilter',
      'sluice-xdp-generic',
    ]);
    expect(names(true, 'direct,sluice-xdp-generic')).toEqual(['direct', 'sluice-xdp-generic']);
  });

  it.each(competitors)('$name is dialled where its backends are', (competitor) => {
    const { ipv4 } = world.nodeOf(competitor);
    const targets = (['remote', 'local'] as const).map((where) => outsideTargets(world, competitor, where));
    if (competitor.direct) expect(targets).toEqual(['10.244.9.2:8080', '10.244.1.2:8080']);
    else expect(targets).toEqual([`${ipv4}:${competitor.name === 'sluice-dsr' ? 30082 : 30080}`, `${ipv4}:30081`]);
  });
});
