/** What is counted of each ServicePort where its connections begin and end (bpf/lib/signals.h). */
import { servicePortKey, serviceSignals } from '../../maps-schema/gen/codecs.ts';
import type { KernelHash } from './kernel-map.ts';

/** Since the ServicePort is there. */
export interface Signals {
  readonly opened: number;
  readonly refused: number;
  readonly dropped: number;
  readonly failed: number;
}

/** By service_port_id; those of which nothing was counted yet are missing. */
export function readSignals(map: Pick<KernelHash, 'entries'>): Map<number, Signals> {
  const signals = new Map<number, Signals>();
  for (const { key, value } of map.entries()) {
    const { opened, refused, dropped, failed } = serviceSignals.read(value, 0);
    signals.set(servicePortKey.read(key, 0).id, {
      opened: Number(opened),
      refused: Number(refused),
      dropped: Number(dropped),
      failed: Number(failed),
    });
  }
  return signals;
}

/** Deletes what was counted of ServicePorts that are gone: their ids are given to others. */
export function forgetSignals({
  serviceSignals: signals,
  servicePorts,
}: {
  readonly serviceSignals: Pick<KernelHash, 'entries' | 'delete'>;
  readonly servicePorts: Pick<KernelHash, 'lookup'>;
}): void {
  for (const { key } of signals.entries()) if (servicePorts.lookup(key) === undefined) signals.delete(key);
}
