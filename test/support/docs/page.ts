/** Types a page's blocks in their order, as a person who reads it would. */
import { setTimeout } from 'node:timers/promises';
import { commandsOf } from './commands.ts';
import { difference } from './compare.ts';
import type { Block } from './markdown.ts';
import type { Session } from './session.ts';
import type { Stage } from './stage.ts';

/** How long a block that waits is typed again. */
const WAIT_MS = 60_000;

/** Whether something of the block is typed. */
export const isRun = ({ language, directives }: Block): boolean =>
  (language === 'sh' || language === 'console') && directives['not run'] === undefined;

/** @throws Error that says what the page shows and what came */
export async function runBlock(written: Block, { sessions, addresses }: Stage): Promise<void> {
  const { directives, at } = written;
  const real = (text: string) => text.replaceAll(/\b192\.0\.2\.\d+\b/g, (address) => addresses[address] ?? address);
  const block = { ...written, text: real(written.text) };
  const session = (host: string) => {
    const found = sessions[host];
    if (found === undefined) throw new Error(`${at}: there is no host ${host}`);
    return found;
  };
  if (directives.setup !== undefined) {
    const { code, printed } = await session('node').type(real(directives.setup));
    if (code !== 0) throw new Error(`${at}: the setup above it ended with ${code}:\n${printed}`);
  }
  const once = () => typeAll(block, session(directives.on ?? 'node'));
  if (directives.wait === undefined) return once();
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    try {
      return await once();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await setTimeout(500);
    }
  }
}

async function typeAll(block: Block, session: Session): Promise<void> {
  const { at, directives } = block;
  const commands = commandsOf(block);
  for (const [i, { text, output }] of commands.entries()) {
    const { code, printed } = await session.type(text);
    const wanted = i === commands.length - 1 ? Number(directives.exit ?? 0) : 0;
    if (code !== wanted) throw new Error(`${at}: ${text.trim()}\nended with ${code}, not ${wanted}:\n${printed}`);
    const wrong = output === undefined ? undefined : difference(output, printed);
    if (wrong !== undefined) throw new Error(`${at}: ${text.trim()}\n${wrong}`);
  }
}
