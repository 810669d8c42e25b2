/** Which of the node's addresses answer NodePorts. */
import { mark, NODE_ADDRESS_NODE_PORT, nodeAddressKey } from '../../../maps-schema/gen/codecs.ts';
import type { Maps } from '../../bpf/open-maps.ts';
import { familyOf } from '../../model/address.ts';
import { compareBy } from '../format.ts';
import { decodeRows } from './rows.ts';

/** IPv4 first. @throws SluiceError NOT_RUNNING when the map is not pinned. */
export function readNodePortAddresses(maps: Pick<Maps, 'nodeAddresses'>): string[] {
  return [...decodeRows(maps.nodeAddresses.entries(), nodeAddressKey, mark)]
    .flatMap(([{ address }, { flags }]) => ((flags & NODE_ADDRESS_NODE_PORT) === 0 ? [] : [address]))
    .sort(
      compareBy(
        (address) => familyOf(address),
        (address) => address,
      ),
    );
}
