/** Sends the conversations, round by round, and says what arrived. */

import { poll } from '../../support/lab/poll.ts';
import { packet } from '../../support/packet/builder.ts';
import type { Conversation } from './conversation.ts';
import { framesOf, type Sending } from './frames.ts';
import { Finder, type Sight, sightOfDelivered, sightOfFrame } from './record.ts';
import { flushConntrack, stayOnCpu } from './wire.ts';
import { FAMILIES, type HostName, PAIRS, RAW_HOSTS, type World } from './world.ts';

/** The discard port: no frontend, and nobody else's. */
const FENCE_PORT = 9;
/** One for each pair: masqueraded, a pod’s would be the node’s own. */
const FIRST_FENCE_SOURCE = 9000;
const FENCE = /fence (\d+) (\w+) (\w+) (\d)/;
let fences = 0;

class Run {
  readonly sights: Sight[] = [];
  round = 0;
  readonly #world: World;
  readonly #finder: Finder;
  readonly #fences = new Set<string>();

  constructor(world: World, conversations: readonly Conversation[]) {
    this.#world = world;
    this.#finder = new Finder(conversations);
  }

  /** Takes what arrived since the last look. */
  look(): void {
    const { ports, stack, ownAddresses: own } = this.#world;
    const scene = { finder: this.#finder, own, round: this.round };
    for (const name of RAW_HOSTS)
      for (const frame of ports[name].drain()) this.#take(name, frame, sightOfFrame(name, frame, scene));
    for (const delivered of stack.drain()) {
      const bytes = delivered.family === 4 ? delivered.packet : delivered.l4;
      this.#take('node1', bytes, sightOfDelivered('node1', delivered, scene));
    }
  }

  #take(at: HostName, bytes: Buffer, sight: Sight | undefined): void {
    const fence = FENCE.exec(bytes.toString('latin1'));
    if (fence === null) {
      if (sight !== undefined) this.sights.push(sight);
    } else if (fence[3] === at) this.#fences.add(fence[0]);
  }

  /**
   * Sends a datagram each way that the packets go, and waits for all: what was sent before has arrived by then, or
   * will not. Again and again, for the first of all may be lost while neighbours are looked for.
   */
  async settle(): Promise<void> {
    const number = fences++;
    const wanted = new Map<string, () => void>();
    for (const [i, [a, b]] of PAIRS.entries())
      for (const family of FAMILIES) {
        const name = `fence ${number} ${a} ${b} ${family}`;
        const frame = packet(this.#world.address(a, family), this.#world.address(b, family))
          .udp(FIRST_FENCE_SOURCE + i, FENCE_PORT)
          .macs(...this.#world.macs(a, b))
          .payload(name)
          .build();
        wanted.set(name, () => this.#world.ports[a].send(frame));
      }
    for (const send of wanted.values()) send();
    let looks = 0;
    await poll('see all that was sent arrive', () => {
      this.look();
      for (const name of this.#fences) wanted.delete(name);
      if (wanted.size > 0 && ++looks % 40 === 0) for (const send of wanted.values()) send();
      if (wanted.size > 0) throw new Error(`missing: ${[...wanted.keys()].join(', ')}`);
      return true;
    });
    this.#fences.clear();
  }
}

/** Lets every host of the network know its neighbours. */
export async function warmUp(world: World): Promise<void> {
  const run = new Run(world, []);
  await run.settle();
  await run.settle();
}

export interface PlayOptions {
  /**
   * Asked with what was seen when all should have arrived; while it says no, more is waited for, for a while.
   * Default: yes.
   */
  readonly enough?: (sights: readonly Sight[]) => boolean;
  /** Done before a round: what the conversations have begun by then goes on. */
  readonly meanwhile?: { readonly round: number; readonly act: () => Promise<void> };
}

/** @returns what each receiver saw */
export async function play(
  world: World,
  conversations: readonly Conversation[],
  { enough = () => true, meanwhile }: PlayOptions = {},
): Promise<readonly Sight[]> {
  flushConntrack(world.lab.node(1).netns);
  const run = new Run(world, conversations);
  run.look();
  run.sights.length = 0;

  /** Sends a part of what each conversation sends, and waits for it. */
  const send = async (part: (conversation: Conversation) => readonly Sending[]) => {
    const letGo = stayOnCpu();
    try {
      for (const conversation of conversations) {
        for (const { from, frames } of part(conversation)) for (const frame of frames) world.ports[from].send(frame);
        // No socket's buffer holds all of a round.
        run.look();
      }
      await run.settle();
    } finally {
      letGo();
    }
  };

  const rounds = Math.max(...conversations.map(({ packets }) => packets.length));
  for (let round = 0; round < rounds; round++) {
    if (meanwhile?.round === round) await meanwhile.act();
    run.round = round;
    await send((conversation) => [framesOf(world, conversation, round)]);
  }
  await send((conversation) =>
    conversation.packets.map((_, round) => {
      const { from, late } = framesOf(world, conversation, round);
      return { from, frames: late };
    }),
  );
  for (let again = 0; again < 5 && !enough(run.sights); again++) await run.settle();
  return run.sights;
}
