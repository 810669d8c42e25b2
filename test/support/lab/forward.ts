/** Starts forwarder.mjs inside a namespace. */
import { fileURLToPath } from 'node:url';
import type { Host } from './host.ts';

const script = fileURLToPath(new URL('./forwarder.mjs', import.meta.url));

/** Resolves when the port is open; the forwarder ends with this process or the lab. */
export function forward(host: Host, port: number, socket: string): Promise<void> {
  const child = host.spawn([process.execPath, script, String(port), socket], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin?.on('error', () => {}); // it is killed with the lab
  return new Promise((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`forward port ${port} of ${host.name} to ${socket}: exit ${code}`)));
  });
}
