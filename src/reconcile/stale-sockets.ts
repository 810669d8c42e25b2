/** Whether a connected UDP socket has lost its backend. */
import {
  BACKEND_STATE_SERVING,
  backendState,
  SOCK_FLOW_CONNECTED,
  sockFlow,
  sockKey,
} from '../../maps-schema/gen/codecs.ts';
import type { KernelArray, KernelHash } from '../bpf/kernel-map.ts';
import { PROTOCOL_NUMBERS } from '../model/compiled.ts';

export interface SocketMaps {
  readonly backendStates: Pick<KernelArray, 'view' | 'stride'>;
  readonly sockPeers: Pick<KernelHash, 'entries'>;
}

/** Is there a socket that connect() pointed at a backend which serves no more? Reads sock_peers up to the first one. */
export function anyStaleSocket({ backendStates, sockPeers }: SocketMaps): boolean {
  const serves = (id: number, generation: number): boolean => {
    const state = backendState.read(backendStates.view, id * backendStates.stride);
    return state.generation === generation && (state.flags & BACKEND_STATE_SERVING) !== 0;
  };
  for (const { key, value } of sockPeers.entries()) {
    if (sockKey.read(key, 0).proto !== PROTOCOL_NUMBERS.UDP) continue;
    const { flags, backendId, backendGeneration } = sockFlow.read(value, 0);
    if ((flags & SOCK_FLOW_CONNECTED) !== 0 && !serves(backendId, backendGeneration)) return true;
  }
  return false;
}
