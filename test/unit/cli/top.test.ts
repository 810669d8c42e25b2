import { expect, test } from 'vitest';
import {
  FLOW_CLOSING_FIN,
  FLOW_REPLY,
  servicePortKey,
  serviceSignals,
  sockFlow,
  sockKey,
} from '../../../maps-schema/gen/codecs.ts';
import { createMaps, type FakeMaps, kernelWith, put, putFlow, putName, sluice } from './fake-kernel.ts';

function count(
  maps: FakeMaps,
  id: number,
  opened: number,
  more: Partial<Record<'refused' | 'dropped' | 'failed', bigint>> = {},
) {
  const none = { refused: 0n, dropped: 0n, failed: 0n };
  put(maps.serviceSignals, servicePortKey, { id }, serviceSignals, { opened: BigInt(opened), ...none, ...more });
}

function shop(): FakeMaps {
  const maps = createMaps();
  putName(maps, 1, 'shop/web', 'http');
  putName(maps, 2, 'shop/cart');
  putName(maps, 3, 'shop/idle');
  count(maps, 1, 120, { failed: 2n });
  count(maps, 2, 7, { refused: 40n, dropped: 1n });
  putFlow(maps.flows, { sport: 1 }, { servicePortId: 1, packets: 10n, bytes: 1000n });
  putFlow(maps.flows, { sport: 2 }, { servicePortId: 1, packets: 1n, bytes: 60n, closing: FLOW_CLOSING_FIN });
  putFlow(
    maps.flows,
    { saddr: '10.244.0.1', daddr: '192.0.2.9', hook: 1 },
    { servicePortId: 1, saddr: '10.96.0.1', daddr: '192.0.2.9', packets: 8n, bytes: 50_000n, flags: FLOW_REPLY },
  );
  putFlow(maps.halfOpenFlows, { sport: 3 }, { servicePortId: 2, packets: 1n, bytes: 60n });
  const key = { cookie: 1n, address: '10.244.0.1', port: 80, proto: 6 };
  const peer = { ...sockFlow.read(Buffer.alloc(sockFlow.size), 0), address: '10.96.0.1', port: 80, servicePortId: 2 };
  put(maps.sockPeers, sockKey, key, sockFlow, peer);
  return maps;
}

const top = (maps: FakeMaps, words: string[], between: () => void = () => {}) => {
  let now = 0;
  return sluice(['top', ...words], kernelWith(maps), {
    now: () => now,
    wait: async (ms) => {
      now += ms;
      between();
      return true;
    },
    interruption: () => new AbortController().signal,
  });
};

test('what was counted so far, the busiest first; idle Services are left out', async () => {
  const { code, out, err } = await top(shop(), ['--once', '-o', 'wide']);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatchSnapshot();
});

test('then rates, one table behind the other', async () => {
  const maps = shop();
  const { out } = await top(maps, ['--count', '2', '--interval', '5', 'shop/web'], () => {
    count(maps, 1, 170, { failed: 3n });
    putFlow(maps.flows, { sport: 1 }, { servicePortId: 1, packets: 20n, bytes: 101_000n });
  });
  expect(out).toMatchSnapshot();
});

test.each([
  ['refused', 'cart'],
  ['open', 'web'],
  ['failed', 'web'],
  ['bytes', 'web'],
])('--sort %s', async (sort, first) => {
  const { out } = await top(shop(), ['--once', '--sort', sort, '-o', 'json']);
  expect(JSON.parse(out).items.map(({ name }: { name: string }) => name)[0]).toBe(first);
});

test('-o json; a limit; what is no column', async () => {
  const { out } = await top(shop(), ['--once', '--limit', '1', '-o', 'json']);
  expect(JSON.parse(out)).toMatchObject({
    items: [{ namespace: 'shop', name: 'web', opened: 120, open: 1, failed: 2, bytesIn: 1060, bytesOut: 50_000 }],
  });
  expect(await top(shop(), ['--sort', 'beauty'])).toMatchObject({ code: 2 });
  expect(await top(createMaps(), ['--once'])).toMatchObject({
    code: 0,
    out: '',
    err: 'nothing was asked of a Service yet\n',
  });
});
