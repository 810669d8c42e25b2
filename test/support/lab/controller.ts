/**
 * The controllers that a cluster has and the lab needs: EndpointSlices from Services and pods, and
 * addresses for LoadBalancers in their status subresource.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { EndpointSlice, Service } from '../../../src/model/kubernetes.ts';
import { objectKey } from '../../../src/model/kubernetes.ts';
import type { IpFamily } from './addressing.ts';
import { type KubeClient, KubeError } from './kube-client.ts';
import { buildSlices, type PodView, type SelectingService } from './slices.ts';

/** Hands out load-balancer addresses: 203.0.113.10 and fd13::10 first. An address is never given twice. */
export function balancerAddress(index: number, family: IpFamily): string {
  return family === 'IPv4' ? `203.0.113.${10 + index}` : `fd13::${10 + index}`;
}

/** Milliseconds between two attempts to watch. */
const RETRY_MS = 100;

export class ServiceController {
  readonly #client: KubeClient;
  readonly #pods: () => readonly PodView[];
  readonly #services = new Map<string, SelectingService>();
  /** What was last written: name of the slice → its JSON without the annotation. */
  readonly #written = new Map<string, { readonly text: string; readonly slice: EndpointSlice }>();
  readonly #balancers = new Map<string, number>();
  #dirty = false;
  #working: Promise<void> | undefined;
  #failure: unknown;

  /** @param pods the pods of the moment */
  constructor(client: KubeClient, pods: () => readonly PodView[]) {
    this.#client = client;
    this.#pods = pods;
  }

  /** Watches Services until the signal aborts, again when the server was away. @throws Error for what is no outage */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#forgetAbsent();
        await this.#client.watch<SelectingService>(
          'Service',
          ({ type, object }) => (type === 'set' ? this.observe(object) : this.#forget(object)),
          signal,
        );
      } catch (error) {
        if (!signal.aborted && !isOutage(error)) throw error;
      }
      await delay(RETRY_MS, undefined, { signal }).catch(() => {});
    }
  }

  /** What was deleted while nobody watched. */
  async #forgetAbsent(): Promise<void> {
    if (this.#services.size === 0) return;
    const { items } = await this.#client.list<SelectingService>('Service');
    const present = new Set(items.map(objectKey));
    for (const [key, service] of this.#services) if (!present.has(key)) this.#forget(service);
  }

  /** Takes a Service that somebody has just written; the watch would bring it a moment later. */
  observe(service: SelectingService): void {
    const known = this.#services.get(objectKey(service));
    if (known !== undefined && versionOf(known) >= versionOf(service)) return;
    this.#services.set(objectKey(service), service);
    this.poke();
  }

  #forget(service: SelectingService): void {
    this.#services.delete(objectKey(service));
    this.poke();
  }

  /** Says that pods have changed. */
  poke(): void {
    this.#dirty = true;
    this.#working ??= this.#work();
  }

  /** Resolves when everything that was known at the call is written. @throws Error when writing failed */
  async settled(): Promise<void> {
    await this.#working;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #work(): Promise<void> {
    await Promise.resolve(); // changes of one tick go together
    try {
      while (this.#dirty) {
        this.#dirty = false;
        await this.#writeSlices();
        await this.#writeStatuses();
      }
    } catch (error) {
      this.#failure = error;
    } finally {
      this.#working = undefined;
    }
  }

  async #writeSlices(): Promise<void> {
    const trigger = new Date().toISOString();
    const wanted = new Map<string, { text: string; slice: EndpointSlice }>();
    for (const service of this.#services.values()) {
      for (const slice of buildSlices(service, this.#pods()))
        wanted.set(objectKey(slice), { text: JSON.stringify(slice), slice });
    }
    const changed = [...wanted].filter(([key, { text }]) => this.#written.get(key)?.text !== text);
    const gone = [...this.#written].filter(([key]) => !wanted.has(key));
    await Promise.all([
      ...changed.map(async ([key, value]) => {
        await this.#client.apply(stamped(value.slice, trigger));
        this.#written.set(key, value);
      }),
      ...gone.map(async ([key, { slice }]) => {
        await this.#client.delete(slice);
        this.#written.delete(key);
      }),
    ]);
  }

  async #writeStatuses(): Promise<void> {
    const balancers = [...this.#services.values()]
      .filter((service) => service.spec?.type === 'LoadBalancer')
      .sort((a, b) => (objectKey(a) < objectKey(b) ? -1 : 1));
    for (const service of balancers) {
      const key = objectKey(service);
      if (!this.#balancers.has(key)) this.#balancers.set(key, this.#balancers.size);
      const families = (service.spec?.ipFamilies ?? ['IPv4']) as IpFamily[];
      const ingress = families.map((family) => ({
        ip: balancerAddress(this.#balancers.get(key) ?? 0, family),
        ipMode: 'VIP',
      }));
      if (JSON.stringify(service.status?.loadBalancer?.ingress) === JSON.stringify(ingress)) continue;
      const next: SelectingService = { ...service, status: { ...service.status, loadBalancer: { ingress } } };
      await this.#writeStatus(next);
    }
  }

  async #writeStatus(service: SelectingService): Promise<void> {
    try {
      this.observe(await this.#client.putStatus(service));
    } catch (error) {
      // Somebody else has written or deleted it: the watch brings that, and with it another attempt.
      if (!(error instanceof KubeError) || ![404, 409].includes(error.status)) throw error;
    }
  }
}

/** The connection broke, or the server says that it cannot serve. */
function isOutage(error: unknown): boolean {
  if (error instanceof KubeError) return error.status >= 500 || error.status === 410;
  return typeof (error as NodeJS.ErrnoException).code === 'string';
}

function versionOf(service: Service): number {
  return Number(service.metadata?.resourceVersion ?? 0);
}

function stamped(slice: EndpointSlice, trigger: string): EndpointSlice {
  const annotations = { 'endpoints.kubernetes.io/last-change-trigger-time': trigger };
  return { ...slice, metadata: { ...slice.metadata, annotations } };
}
