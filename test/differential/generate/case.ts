/** A whole case from a seed: a cluster, what changes in it, and what clients try after each step. */
import type { EndpointSlice, Service } from '../../../src/model/kubernetes.ts';
import { randomFrom } from '../../support/packet/random.ts';
import type { Action, Case, Probe } from '../case.ts';
import { choose } from './choose.ts';
import { generateBound, generateConfiguration, generateNode } from './configuration.ts';
import { addressesOf, generateProbe } from './probes.ts';
import { assemble, changeParts, generateParts, type Parts } from './services.ts';
import { type Endpoints, generateEndpoints, generateSlice } from './slices.ts';

interface Made {
  readonly namespace: string;
  readonly name: string;
  readonly n: number;
  created: string;
  parts: Parts;
  endpoints: Endpoints;
}

const PROBES_A_STEP = 24;

export function generateCase(seed: number): Case {
  const random = choose(randomFrom(seed));
  const { between, oneIn, pick, below } = random;
  const actions: Action[] = [];
  const services = new Map<string, Service>();
  const slices = new Map<string, EndpointSlice>();
  const dates = Array.from({ length: 60 }, (_, i) => `2026-01-01T00:00:${String(i).padStart(2, '0')}Z`);
  let bound: readonly string[] = [];

  const nextDate = () => (oneIn(20) ? undefined : dates.splice(below(dates.length), 1)[0]) as string;
  const made: Made[] = Array.from({ length: between(1, 4) }, (_, n) => ({
    namespace: pick(['default', 'other']),
    name: `s${n}`,
    n,
    created: nextDate(),
    parts: generateParts(random, n),
    endpoints: generateEndpoints(random),
  }));

  function putService(one: Made): void {
    const service = assemble(one.namespace, one.name, one.created, one.parts, one.n);
    services.set(one.name, service);
    actions.push({ service });
  }

  function putSlice(one: Made, i: number): void {
    const name = `${one.name}-${i}`;
    const slice = generateSlice(
      { namespace: one.namespace, service: one.name, name },
      one.parts.ports,
      one.endpoints,
      random,
    );
    slices.set(name, slice);
    actions.push({ slice });
  }

  function remove(kind: 'Service' | 'EndpointSlice', { namespace }: Made, name: string): void {
    if (!(kind === 'Service' ? services : slices).delete(name)) return;
    actions.push({ delete: { kind, namespace, name } });
  }

  const CHANGES: readonly ((one: Made) => void)[] = [
    change,
    change,
    change,
    (one) => remove('Service', one, one.name),
    (one) => {
      remove('Service', one, one.name);
      if (oneIn(2)) actions.push({ sync: true });
      one.created = nextDate();
      putService(one);
    },
    (one) => putSlice(one, below(3)),
    (one) => putSlice(one, below(3)),
    (one) => remove('EndpointSlice', one, `${one.name}-${below(3)}`),
    (one) => {
      one.endpoints = generateEndpoints(random);
      for (const i of [0, 1, 2]) if (slices.has(`${one.name}-${i}`)) putSlice(one, i);
    },
    () => actions.push({ node: generateNode(random) }),
    () => {
      bound = generateBound(random);
      actions.push({ bound });
    },
    () => actions.push({ restart: true }),
    () => actions.push({ seconds: pick([40, 400, 5000, 20_000]) }),
  ];

  function change(one: Made): void {
    one.parts = changeParts(one.parts, random, one.n);
    putService(one);
  }

  /** A client of a Service with affinity comes back before its time is over, again and again. */
  function returning(next: Probe): void {
    const { spec } = [...services.values()].find((service) => addressesOf(service).includes(next.destination)) ?? {};
    const seconds = spec?.sessionAffinityConfig?.clientIP?.timeoutSeconds;
    if (seconds === undefined) return;
    for (let i = 0; i < 3; i++) actions.push({ seconds: Math.floor(seconds * 0.6) }, { probe: next });
  }

  function probe(): void {
    for (let i = 0; i < PROBES_A_STEP; i++) {
      const around = { services: [...services.values()], slices: [...slices.values()], bound };
      const next = generateProbe(around, random);
      if (next === undefined) continue;
      actions.push({ probe: next });
      // Affinity shows when one client comes back.
      if (oneIn(4)) actions.push({ probe: next });
      if (oneIn(6)) returning(next);
    }
  }

  const configuration = generateConfiguration(random);
  const socketLb = pick(['all', 'all', 'host-only'] as const);
  actions.push({ node: generateNode(random) });
  bound = generateBound(random);
  if (bound.length > 0) actions.push({ bound });
  for (const one of made) {
    putService(one);
    for (let i = 0; i < between(0, 3); i++) putSlice(one, i);
  }
  probe();
  for (let step = between(0, 3); step > 0; step--) {
    for (let i = between(1, 3); i > 0; i--) {
      pick(CHANGES)(pick(made));
      if (oneIn(4)) actions.push({ sync: true });
    }
    probe();
  }
  return { configuration, socketLb, actions };
}
