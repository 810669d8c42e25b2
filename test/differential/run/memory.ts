/** What the data path remembers of clients: forgotten between cases, and made older within one. */
import { affinity as affinityCodec } from '../../../maps-schema/gen/codecs.ts';
import { emptyFlowTable, flowTables } from '../../../src/bpf/flow-table.ts';
import type { KernelHash } from '../../../src/bpf/kernel-map.ts';
import type { Kernel } from './kernel.ts';

export function forgetFlows({ maps, pinDirectory }: Kernel): void {
  for (const table of flowTables) emptyFlowTable(pinDirectory, table);
  for (const map of [maps.affinities, maps.sockPeers, maps.sockFlows]) clear(map);
}

function clear(map: KernelHash): void {
  const keys = [...map.entries()].map(({ key }) => key);
  if (keys.length > 0) map.deleteBatch(Buffer.concat(keys), keys.length);
}

/** As if the last connections had been so much earlier. */
export function ageAffinities({ maps }: Kernel, seconds: number): void {
  for (const { key, value } of [...maps.affinities.entries()]) {
    const row = affinityCodec.read(value, 0);
    const aged = Buffer.alloc(affinityCodec.size);
    const lastNew = BigInt.asUintN(64, row.lastNew - BigInt(seconds) * 1_000_000_000n);
    affinityCodec.write(aged, 0, { ...row, lastNew });
    maps.affinities.update(key, aged);
  }
}
