/** Tables of the node: what the caller reads from the host, and of objects that are no Services. */
import { type Device, device, mark } from '../../maps-schema/gen/codecs.ts';
import type { Address } from '../model/address.ts';
import type { Cidr } from '../model/compiled.ts';
import type { PortRange } from '../model/ports.ts';
import type { RowTable } from './row-table.ts';
import { cgroupKeyOf, cidrKeyOf, deviceKeyOf, nodeAddressKeyOf } from './rows.ts';
import type { Stores } from './state.ts';

export interface NodeTables {
  /** flags: NODE_ADDRESS_* */
  readonly nodeAddresses: readonly { readonly address: Address; readonly flags: number }[];
  readonly devices: readonly { readonly ifindex: number; readonly device: Device }[];
  readonly podCidrs: readonly Cidr[];
  /** Addresses of the other nodes; absent: what is in the kernel stays. */
  readonly peers?: readonly Address[] | undefined;
  /** Ids of the cgroups of pods that opt out of the socket hook; absent: what is in the kernel stays. */
  readonly socketOptOuts?: readonly bigint[] | undefined;
  /** Default: none is known. */
  readonly serviceCidrs?: readonly Cidr[];
  /** Written with the first complete `apply`: NodePorts are among those in the kernel. Default: none. */
  readonly reservedPorts?: readonly PortRange[];
}

const value = Buffer.alloc(device.size);

/** Stages what leads from the rows in the kernel to these. */
export function stageNodeTables(stores: Stores, wanted: NodeTables): void {
  stage(stores.nodeAddresses, wanted.nodeAddresses, ({ address, flags }) => {
    mark.write(value, 0, { flags });
    return nodeAddressKeyOf(address);
  });
  stage(stores.devices, wanted.devices, (row) => {
    device.write(value, 0, row.device);
    return deviceKeyOf(row.ifindex);
  });
  if (wanted.peers !== undefined)
    stage(stores.peers, wanted.peers, (address) => {
      mark.write(value, 0, { flags: 0 });
      return nodeAddressKeyOf(address);
    });
  if (wanted.socketOptOuts !== undefined)
    stage(stores.socketOptOuts, wanted.socketOptOuts, (id) => {
      mark.write(value, 0, { flags: 0 });
      return cgroupKeyOf(id);
    });
  stores.reservedPorts.setHost(wanted.reservedPorts ?? []);
  for (const [table, networks] of [
    [stores.podCidrs, wanted.podCidrs],
    [stores.serviceCidrs, wanted.serviceCidrs ?? []],
  ] as const) {
    stage(table, networks, (cidr) => {
      mark.write(value, 0, { flags: 0 });
      return cidrKeyOf(cidr);
    });
  }
}

/** @param encode writes the value of a row and returns its key */
function stage<T>(table: RowTable, rows: readonly T[], encode: (row: T) => string): void {
  const keys = new Set<string>();
  for (const row of rows) {
    const key = encode(row);
    if (keys.has(key)) continue;
    keys.add(key);
    table.stage(key, value, 0, undefined);
  }
  for (const key of table.keys()) if (!keys.has(key)) table.stageDelete(key);
}
