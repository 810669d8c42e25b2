/** Gives a device another name, as an administrator would: down, name, up, and back what going down took away. */
import { eachFamily, SUBNET_BITS } from './addressing.ts';
import { ipBatch } from './command.ts';
import type { LabNode } from './node.ts';

interface Route {
  readonly dst: string;
  readonly gateway?: string;
}

const ANY = { IPv4: '0.0.0.0/0', IPv6: '::/0' } as const;

/** Routes by gateways and IPv6 addresses go with a device that is set down. @param to a name that is free */
export async function renameDevice(node: LabNode, from: string, to: string): Promise<void> {
  const routes = await Promise.all(
    eachFamily(ANY).map(async ([family, any]) => {
      const shown = await node.run(['ip', family === 'IPv4' ? '-4' : '-6', '-j', 'route', 'show', 'dev', from]);
      return (JSON.parse(shown) as Route[]).flatMap(({ dst, gateway }) =>
        gateway === undefined ? [] : [`route replace ${dst === 'default' ? any : dst} via ${gateway} dev ${to}`],
      );
    }),
  );
  await ipBatch(node.netns, [
    `link set ${from} down`,
    `link set ${from} name ${to}`,
    `link set ${to} up`,
    `address replace ${node.ipv6}/${SUBNET_BITS.IPv6} dev ${to} nodad`,
    ...routes.flat(),
  ]);
}
