/** The same with real sockets: connections from ports that are NodePorts' too, to what is no Service. */
import type { Host } from '../../support/lab/host.ts';
import type { Conversation } from '../../support/traffic/actor.ts';
import { NODE_PORTS } from './services.ts';
import { FAMILIES, type FamilyNumber, type World } from './world.ts';

const SERVED = { http: 18_080, tcp: 18_090, udp: 18_053 };
/** For an answer, on a busy machine. */
const TIMEOUT_MS = 10_000;

interface Talk {
  readonly name: string;
  readonly from: Host;
  readonly address: string;
}

type Results = Record<string, string>;

const own = (host: Host, family: FamilyNumber) => (family === 4 ? host.ipv4 : host.ipv6);

function talks({ lab }: World): Talk[] {
  const [node, pod, outside] = [lab.node(1), lab.pod(1, 3), lab.client(3)];
  const ways: readonly (readonly [string, Host, Host])[] = [
    ['node to outside', node, outside],
    ['node to its pod', node, pod],
    ['pod to outside', pod, outside],
    ['pod to its node', pod, node],
    ['outside to node', outside, node],
    ['outside to pod', outside, pod],
  ];
  return FAMILIES.flatMap((family) =>
    ways.map(([name, from, to]) => ({ name: `${name}, IPv${family}`, from, address: own(to, family) })),
  );
}

let nextPort = 0;

/** A NodePort that no socket had before: the last one's connections may still be known. */
function takePort(): number {
  const port = NODE_PORTS[nextPort++];
  if (port === undefined) throw new Error(`choose a port: all of ${NODE_PORTS.length} were used`);
  return port;
}

/** Makes the hosts serve that are dialled. */
export async function serveSockets({ lab }: World): Promise<void> {
  const ports = { http: [SERVED.http], tcp: [SERVED.tcp], udp: [SERVED.udp] };
  await Promise.all([lab.node(1), lab.pod(1, 3), lab.client(3)].map((host) => host.actor.serve(ports)));
}

/** @returns by name what came of dialling: who answered, and whether he saw the source port that was chosen */
export async function dialSockets(world: World): Promise<Results> {
  const results: Results = {};
  await Promise.all(
    talks(world).map(async ({ name, from, address }) => {
      const localPort = takePort();
      const options = { localPort, timeoutMs: TIMEOUT_MS };
      const [tcp, udp] = await Promise.all([
        from.actor.http(address, SERVED.http, options),
        from.actor.udp(address, SERVED.udp, { ...options, connected: false }),
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

export interface OpenSockets {
  /** @returns by name whether the other end still answers */
  exchange(): Promise<Results>;
  close(): Promise<void>;
}

/** Connections, and sockets that exchange datagrams, which stay open. */
export async function openSockets(world: World): Promise<OpenSockets> {
  const open = new Map<string, Conversation>();
  await Promise.all(
    talks(world).flatMap(({ name, from, address }) => {
      const options = { localPort: takePort(), timeoutMs: TIMEOUT_MS };
      return (['tcp', 'udp'] as const).map(async (protocol) => {
        const more = protocol === 'udp' ? { connected: false } : {};
        open.set(
          `${name}, ${protocol}`,
          await from.actor.open(protocol, address, SERVED[protocol], { ...options, ...more }),
        );
      });
    }),
  );
  return {
    async exchange() {
      const results: Results = {};
      await Promise.all(
        [...open].map(async ([name, conversation]) => {
          const { ok, errno } = await conversation.exchange({ timeoutMs: TIMEOUT_MS });
          results[name] = ok ? 'answered' : `${errno}`;
        }),
      );
      return results;
    },
    async close() {
      await Promise.all([...open.values()].map((conversation) => conversation.close()));
    },
  };
}
