/** The golden signals of a Service, counted by the programs where its connections begin and end; and what its flows carry. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  FRONTEND_CLUSTER_IP,
  FRONTEND_EXTERNAL_DROP,
  FRONTEND_SNAT_OUTSIDE,
  FRONTEND_SOURCE_RANGES,
  type Knobs,
} from '../../maps-schema/gen/codecs.ts';
import { readSignals } from '../../src/bpf/signals.ts';
import { readNames } from '../../src/cli/views/names.ts';
import { topRows } from '../../src/cli/views/top.ts';
import { createTrafficReader } from '../../src/cli/views/traffic.ts';
import { packet } from '../support/packet/builder.ts';
import { CLIENT, POD, REMOTE_POD } from '../support/packet/network.ts';
import { createPacketRig, type PacketRig, WAYS } from '../support/packet/rig.ts';
import { backend, frontend, remote, service } from '../support/packet/services.ts';

const VIP = (n: number) => `10.96.0.${n}`;
const [NEAR, FAR, EMPTY, SILENT, CLOSED, STAGED] = [1, 2, 3, 4, 5, 6];
let rig: PacketRig;

beforeEach(() => start({}));

async function start(knobs: Partial<Knobs>): Promise<void> {
  rig = await createPacketRig({ snatPortMin: 40000, snatPortMax: 40001, ...knobs });
  rig.serve(
    service('near', { frontends: [frontend(VIP(NEAR), 80)], cluster: [backend(POD[4])] }),
    service('near-udp', { protocol: 'UDP', frontends: [frontend(VIP(NEAR), 80)], cluster: [backend(POD[4])] }),
    service('far', { frontends: [frontend(VIP(FAR), 80)], cluster: [remote(REMOTE_POD[4])] }),
    service('empty', { frontends: [frontend(VIP(EMPTY), 80)] }),
    service('silent', {
      frontends: [frontend(VIP(SILENT), 80, { flags: FRONTEND_CLUSTER_IP | FRONTEND_EXTERNAL_DROP })],
    }),
    service('closed', {
      frontends: [frontend(VIP(CLOSED), 80, { flags: FRONTEND_CLUSTER_IP | FRONTEND_SOURCE_RANGES })],
      cluster: [backend(POD[4])],
    }),
    service('staged', {
      frontends: [frontend(VIP(STAGED), 80, { flags: FRONTEND_CLUSTER_IP | FRONTEND_SNAT_OUTSIDE })],
      cluster: [backend(POD[4])],
    }),
  );
}
afterEach(() => rig.remove());

const syn = (n: number, port: number, flags = 'S') => packet(CLIENT[4], VIP(n)).tcp(port, 80, flags).build();
const sample = (traffic: ReturnType<typeof createTrafficReader>, at = 0) => ({
  names: readNames(rig.maps.servicePorts.entries()),
  signals: readSignals(rig.maps.serviceSignals),
  traffic: traffic(),
  at,
});
const rows = () => topRows(sample(createTrafficReader(rig.maps)), undefined, 'opened');
const row = (name: string) => rows().find((each) => each.name === name);

it.each(WAYS)('opened, refused and dropped, by %s', (way) => {
  for (const port of [5000, 5001, 5002]) rig.ingress(syn(NEAR, port), { way });
  for (const from of [CLIENT[4], '198.51.100.10', '198.51.100.11'])
    rig.ingress(packet(from, VIP(FAR)).tcp(40000, 80, 'S').build(), { way });
  for (const n of [EMPTY, SILENT, CLOSED]) rig.ingress(syn(n, 5000), { way });
  const none = { opened: 0, refused: 0, dropped: 0, failed: 0 };
  expect(row('near')).toMatchObject({ ...none, opened: 3, halfOpen: 3, open: 0 });
  // For the third there was no port.
  expect(row('far')).toMatchObject({ ...none, opened: 2, dropped: 1 });
  expect(row('empty')).toMatchObject({ ...none, refused: 1 });
  expect(row('silent')).toMatchObject({ ...none, dropped: 1 });
  expect(row('closed')).toMatchObject({ ...none, dropped: 1 });
  expect(rows()[0]?.name).toBe('near');
});

it('failed: nobody answered, or with a reset; a datagram needs no answer', async () => {
  rig.remove();
  await start({ jiffiesPerSecond: 1, tcpHalfOpenSeconds: 0, udpSeconds: 0 });
  rig.ingress(syn(NEAR, 5000));
  rig.ingress(syn(NEAR, 5001));
  rig.egress(packet(POD[4], CLIENT[4]).tcp(8080, 5001, 'R.').build());
  rig.ingress(syn(NEAR, 5002));
  rig.egress(packet(POD[4], CLIENT[4]).tcp(8080, 5002, 'S.').build());
  rig.ingress(syn(NEAR, 5002, '.'));
  rig.ingress(packet(CLIENT[4], VIP(NEAR)).udp(5000, 80).build());
  await expect
    .poll(
      async () => {
        await rig.sweep();
        return row('near')?.failed;
      },
      { timeout: 20_000 },
    )
    .toBe(2);
  expect(row('near')).toMatchObject({ opened: 3, open: 1, halfOpen: 0 });
  expect(row('near-udp')).toMatchObject({ opened: 1, failed: 0 });
});

it.each([
  ['through the stack', NEAR, 'near'],
  ['with source NAT', STAGED, 'staged'],
])('bytes and packets both ways, once, and only those since the last look: %s', (_, n, name) => {
  const traffic = createTrafficReader(rig.maps);
  const look = () => topRows(sample(traffic), undefined, 'bytes').find((each) => each.name === name);
  const there = (flags: string) => {
    const { frame } = rig.ingress(syn(n, 5000, flags));
    if (n === STAGED) rig.egress(frame, { device: 'pod0', from: 'node0' });
  };
  const back = () => {
    if (n !== STAGED) return rig.egress(packet(POD[4], CLIENT[4]).tcp(8080, 5000, 'S.').build());
    const entry = rig.flows('halfOpenFlows').find(({ key }) => key.hook === 0 && key.saddr === POD[4]);
    const answer = packet(POD[4], entry?.key.daddr ?? '').tcp(8080, entry?.key.dport ?? 0, 'S.');
    return rig.egress(rig.ingress(answer.build(), { device: 'pod0' }).frame, { from: 'pod0' });
  };
  there('S');
  back();
  there('.');
  const bytes = 40;
  expect(look()).toMatchObject({ packetsIn: 2, bytesIn: 2 * bytes, packetsOut: 1, bytesOut: bytes, open: 1 });
  expect(look()).toMatchObject({ packetsIn: 0, bytesIn: 0, packetsOut: 0, bytesOut: 0, open: 1 });
  there('.');
  expect(look()).toMatchObject({ packetsIn: 1, bytesIn: bytes, packetsOut: 0 });
});
