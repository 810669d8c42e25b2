/** Whether the agent answers: asked of its health endpoint. */
export interface Health {
  readonly url: string;
  readonly state: 'healthy' | 'unhealthy' | 'unreachable';
  /** Why not, for people. */
  readonly detail?: string;
}

const TIMEOUT_MS = 1000;

/** Never throws: an agent that is dead is an answer. */
export async function askHealth(url: string): Promise<Health> {
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
