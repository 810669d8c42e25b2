/**
 * KEEP=1: the cluster needs a process that goes on holding it (API server, actors, controllers). The
 * show runs in a detached process of its own; this one passes its output on and leaves with its code.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));
const HOLDING = 'SLUICE_DEMO_HOLD';

/** Whether this is the process that holds the cluster. */
export function isHolder(): boolean {
  return process.env[HOLDING] === '1';
}

/** Runs the show in a process that stays. @returns its exit code */
export async function showAndHold(): Promise<number> {
  const colours = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {};
  const holder = spawn(process.execPath, [...process.execArgv, main], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, ...colours, [HOLDING]: '1' },
  });
  holder.stdout?.pipe(process.stdout);
  holder.stderr?.pipe(process.stderr);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => holder.kill(signal));
  const shown = once(holder, 'message').then(([code]) => {
    holder.disconnect();
    holder.unref();
    return Number(code);
  });
  const ended = once(holder, 'exit').then(([code]) => Number(code ?? 1));
  return Promise.race([shown, ended]);
}

/** In the holder: lets the first process go, and stays until SIGTERM or SIGINT. */
export async function hold(code: number): Promise<void> {
  process.stdout.on('error', () => {}); // nobody reads any more
  process.stderr.on('error', () => {});
  const sent = new Promise((resolve) => process.once('disconnect', resolve));
  process.send?.(code);
  await sent; // the first process has it, and lets go
  const forever = setInterval(() => {}, 2 ** 30);
  await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  clearInterval(forever);
}
