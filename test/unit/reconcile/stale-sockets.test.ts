import { expect, it } from 'vitest';
import { encode } from '../../../maps-schema/codec.ts';
import {
  BACKEND_STATE_SERVING,
  backendState,
  SOCK_FLOW_CONNECTED,
  maps as shapes,
  sockFlow,
  sockKey,
} from '../../../maps-schema/gen/codecs.ts';
import { anyStaleSocket } from '../../../src/reconcile/stale-sockets.ts';
import { createMemoryArray, createMemoryHash } from '../../support/memory-map.ts';

const UDP = 17;
const TCP = 6;

interface Given {
  readonly serving?: boolean;
  readonly generation?: number;
  readonly flags?: number;
  readonly proto?: number;
}

/** Backend 3 and a socket that was pointed at its first generation. */
function given({ serving = true, generation = 1, flags = SOCK_FLOW_CONNECTED, proto = UDP }: Given) {
  const backendStates = createMemoryArray(shapes.backendStates, 16);
  const sockPeers = createMemoryHash(shapes.sockPeers);
  const state = { generation, flags: serving ? BACKEND_STATE_SERVING : 0 };
  backendState.write(backendStates.view, 3 * backendStates.stride, state);
  sockPeers.update(
    encode(sockKey, { cookie: 7n, address: '10.0.0.1', port: 53, proto }),
    encode(sockFlow, {
      address: '10.96.0.1',
      port: 53,
      flags,
      servicePortId: 1,
      backendId: 3,
      backendGeneration: 1,
      lastSeen: 0,
      datagrams: 0,
    }),
  );
  return { backendStates, sockPeers };
}

it.each<[string, Given, boolean]>([
  ['whose backend serves is not stale', {}, false],
  ['whose backend serves no more is stale', { serving: false }, true],
  ['whose backend’s id is another’s now is stale', { generation: 2 }, true],
  ['that is not connected chooses again by itself', { serving: false, flags: 0 }, false],
  ['of TCP stays as it is (R-23)', { serving: false, proto: TCP }, false],
])('a socket %s (R-69)', (_what, state, stale) => {
  expect(anyStaleSocket(given(state))).toBe(stale);
});

it('no sockets, none stale', () => {
  const { backendStates } = given({});
  expect(anyStaleSocket({ backendStates, sockPeers: createMemoryHash(shapes.sockPeers) })).toBe(false);
});
