/** Whether the agent answers: asked of its health endpoint. */
export interface Health {
  readonly url: string;
  /** `stopped`: no agent holds the pins, whoever answers at the address. */
  readonly state: 'healthy' | 'unhealthy' | 'unreachable' | 'stopped';
  /** Why not, for people. */
  readonly detail?: string;
}

const TIMEOUT_MS = 1000;
const DEFAULT = '0.0.0.0:10256';

/** @param listen where the agent listens, e.g. `0.0.0.0:10256`; undefined: the default. @returns its URL as seen from this node. */
export function healthUrl(listen: string | undefined): string {
  const [, host = '', port = ''] = /^(.*):(\d+)$/.exec(listen || DEFAULT) ?? [];
  const local = host === '0.0.0.0' ? '127.0.0.1' : host === '[::]' ? '[::1]' : host;
  return `http://${local}:${port}/healthz`;
}

/**
 * Never throws: an agent that is dead is an answer.
 * @param holds whether an agent holds the pins; undefined: it is not known.
 */
export async function askAgent(url: string, holds: () => boolean | undefined): Promise<Health> {
  const health = await ask(url);
  if (health.state === 'unreachable' || holds() !== false) return health;
  return { url, state: 'stopped', detail: 'what answers at its address is another one' };
}

async function ask(url: string): Promise<Health> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    await response.arrayBuffer();
    return response.ok
      ? { url, state: 'healthy' }
      : { url, state: 'unhealthy', detail: `it answered ${response.status}` };
  } catch (error) {
    const cause = (error as Error).cause;
    return { url, state: 'unreachable', detail: cause instanceof Error ? cause.message : (error as Error).message };
  }
}
