/** The desired state as it stands in our maps beside kube-proxy's rules: where they differ. */
import type { Maps } from '../../bpf/open-maps.ts';
import type { RuleText, RuleTexts } from '../../host/kube-proxy-rules.ts';
import { type Comparison, compareRules, type Difference, type Surroundings } from '../../migrate/compare.ts';
import { createIptablesRules } from '../../migrate/iptables.ts';
import { createIpvsRules } from '../../migrate/ipvs.ts';
import { createNftablesRules } from '../../migrate/nftables.ts';
import type { Rules } from '../../migrate/rules.ts';
import { familyOf } from '../../model/address.ts';
import { systemTargets } from '../targets.ts';
import { readOurRules, readSurroundings } from '../views/our-rules.ts';

/** Of the forms that are there the one that kube-proxy of today writes counts. */
const FORMS = ['nftables', 'ipvs', 'iptables'] as const;

export function compareWithMaps(texts: RuleTexts, maps: Maps): Comparison {
  const surroundings = readSurroundings(maps, systemTargets().device);
  const ours = readOurRules(maps);
  const form = FORMS.find((one) => texts.found.some((text) => text.form === one));
  let compared = 0;
  const differences: Difference[] = [];
  for (const family of ['IPv4', 'IPv6'] as const) {
    const frontends = ours.frontends.filter(({ address }) => familyOf(address) === family);
    const theirs = texts.found
      .filter((text) => text.form === form && (text.family === undefined || text.family === family))
      .flatMap((text) => readText(text, family, surroundings) ?? []);
    const [best] = theirs.sort((a, b) => b.frontends.length - a.frontends.length);
    if (best === undefined && frontends.length === 0) continue;
    const mine: Rules = { ...ours, frontends };
    const result = compareRules(ofFamily(best ?? NO_RULES, family), mine, surroundings);
    compared += result.compared;
    differences.push(...result.differences);
  }
  return { compared, differences };
}

function readText({ form, text }: RuleText, family: 'IPv4' | 'IPv6', facts: Surroundings): Rules | undefined {
  if (form === 'ipvs') return createIpvsRules(text);
  return form === 'nftables' ? createNftablesRules(text, family, facts) : createIptablesRules(text, family, facts);
}

function ofFamily(rules: Rules, family: 'IPv4' | 'IPv6'): Rules {
  return { ...rules, frontends: rules.frontends.filter(({ address }) => familyOf(address) === family) };
}

const NO_RULES: Rules = {
  frontends: [],
  nameOf: () => undefined,
  clients: ['pod', 'node', 'outside'],
  untold: [],
  ask: () => ({ verdict: 'none', backends: [], masquerade: 'no', affinitySeconds: 0, networks: [], unknown: [] }),
};

/** Milliseconds between two looks, and how many of them. */
const AGAIN_MS = 1500;
const LOOKS = 3;

/**
 * Compares until nothing unknown differs, a few times: Services change while both sides follow, each at its own pace.
 * @param read reads kube-proxy's rules again.
 */
export async function compareUntilSettled(
  read: () => RuleTexts,
  maps: Maps,
  wait: (ms: number) => Promise<boolean>,
): Promise<Comparison> {
  let last = compareWithMaps(read(), maps);
  for (let look = 1; look < LOOKS && last.differences.some(({ known }) => !known); look++) {
    if (!(await wait(AGAIN_MS))) return last;
    const before = new Set(last.differences.map(keyOf));
    const next = compareWithMaps(read(), maps);
    last = { ...next, differences: next.differences.filter((one) => before.has(keyOf(one))) };
  }
  return last;
}

const keyOf = ({ frontend, kind, kubeProxy, sluice }: Difference) => [frontend, kind, kubeProxy, sluice].join('\n');
