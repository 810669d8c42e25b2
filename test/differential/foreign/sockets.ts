/** The same with real sockets: connections from ports that are NodePorts' too, to what is no Service. */
import type { Host } from '../../support/lab/host.ts';
import { NODE_PORTS } from './services.ts';
import { FAMILIES, type FamilyNumber, type World } from './world.ts';

const SERVED = { http: 18_080, udp: 18_053 };

interface Talk {
  readonly name: string;
  readonly from: Host;
  readonly address: string;
}

const own = (host: Host, family: FamilyNumber) => (family === 4 ? host.ipv4 : host.ipv6);

function talks({ lab }: World): Talk[] {
  const [node, pod, outside] = [lab.node(1), lab.pod(1, 3), lab.client(3)];
  return FAMILIES.flatMap((family) =>
    [
      ['node to outside', node, outside],
      ['node to its pod', node, pod],
      ['pod to outside', pod, outside],
      ['pod to its node', pod, node],
      ['outside to node', outside, node],
      ['outside to pod', outside, pod],
    ].map(([name, from, to]) => ({
      name: `${name}, IPv${family}`,
      from: from as Host,
      address: own(to as Host, family),
    })),
  );
}

/** Makes the hosts serve that are dialled. */
export async function serveSockets({ lab }: World): Promise<void> {
  const ports = { http: [SERVED.http], udp: [SERVED.udp] };
  await Promise.all([lab.node(1), lab.pod(1, 3), lab.client(3)].map((host) => host.actor.serve(ports)));
}

/**
 * Dials, each time from ports that no run before it had.
 * @returns by name what came of it: who answered, and whether he saw the source port that was chosen
 */
export async function playSockets(world: World, runNumber: number): Promise<Record<string, string>> {
  const all = talks(world);
  const results: Record<string, string> = {};
  await Promise.all(
    all.map(async ({ name, from, address }, i) => {
      const localPort = NODE_PORTS[(runNumber * all.length + i) % NODE_PORTS.length] ?? 0;
      const [tcp, udp] = await Promise.all([
        from.actor.http(address, SERVED.http, { localPort, timeoutMs: 5000 }),
        from.actor.udp(address, SERVED.udp, { localPort, timeoutMs: 5000, connected: false }),
      ]);
      for (const [protocol, { who, errno, seenPort, seenSource }] of Object.entries({ tcp, udp }))
        results[`${name}, ${protocol}`] =
          who === undefined
            ? `${errno}`
            : `${who} saw ${seenSource}${seenPort === localPort ? '' : ` port ${seenPort}`}`;
    }),
  );
  return results;
}
