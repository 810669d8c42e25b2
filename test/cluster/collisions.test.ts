/**
 * One client port towards one backend, by way of a Service and without it: netfilter gives the second
 * of two such connections another port; neither may get the answers of the other.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressesOf, nodePortOf, POD_PORTS, SERVICE_PORTS, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';

const WEB = 11;

let rig: Rig;

beforeAll(async () => {
  rig = await createRig();
  const { lab } = rig;
  rig.manifests.write('web.json', [service('web', WEB), ...slices('web', [lab.pod(2, 1)])]);
  await rig.startAgents({ socketLb: 'host-only' });
});

afterAll(() => rig?.lab.destroy());

describe.each(['IPv4', 'IPv6'] as const)('%s', (family) => {
  const backend = () => (family === 'IPv4' ? rig.lab.pod(2, 1).ipv4 : rig.lab.pod(2, 1).ipv6);
  const nodeAddress = () => (family === 'IPv4' ? rig.lab.node(1).ipv4 : rig.lab.node(1).ipv6);
  const base = family === 'IPv4' ? 12_000 : 13_000;

  it('a pod dials a Service and then its backend from the same port', async () => {
    const { actor } = rig.lab.pod(1, 2);
    const frontend = addressesOf(WEB).clusterIp[family];
    for (let localPort = base; localPort < base + 5; localPort++) {
      const udp = await actor.udp(frontend, SERVICE_PORTS.udp, { localPort });
      expect(udp).toMatchObject({ ok: true, peerAddress: frontend });
      const direct = await actor.udp(backend(), POD_PORTS.udp, { localPort, connected: false, timeoutMs: 1000 });
      expect(direct).toMatchObject({ ok: true, peerAddress: backend() });
      // The flow to the Service goes on as before.
      expect(await actor.udp(frontend, SERVICE_PORTS.udp, { localPort })).toMatchObject({
        ok: true,
        peerAddress: frontend,
      });
      const http = await actor.http(frontend, SERVICE_PORTS.http, { localPort: localPort + 100 });
      expect(http).toMatchObject({ ok: true, peerAddress: frontend });
      const plain = await actor.http(backend(), POD_PORTS.http, { localPort: localPort + 100, timeoutMs: 3000 });
      expect(plain).toMatchObject({ ok: true, peerAddress: backend() });
    }
  });

  it('a pod keeps a connection to a Service while it dials the backend from the same port', async () => {
    const { actor } = rig.lab.pod(1, 2);
    const frontend = addressesOf(WEB).clusterIp[family];
    const localPort = base + 200;
    const talk = await actor.open('tcp', frontend, SERVICE_PORTS.tcp, { localPort });
    const direct = await actor.tcp(backend(), POD_PORTS.tcp, { localPort, timeoutMs: 3000 });
    expect(direct).toMatchObject({ ok: true, peerAddress: backend() });
    expect(await talk.exchange({ bytes: 5000 })).toMatchObject({ ok: true, bytes: 5000 });
    await talk.close();
  });

  it('a node dials the backend from the port that a client outside used through the node', async () => {
    const { lab } = rig;
    const node = lab.node(1);
    for (let localPort = base + 300; localPort < base + 305; localPort++) {
      const outside = await lab.client().actor.udp(nodeAddress(), nodePortOf(WEB), { localPort });
      expect(outside).toMatchObject({ ok: true, seenSource: nodeAddress() });
      const seen = outside.seenPort ?? 0;
      const direct = await node.actor.udp(backend(), POD_PORTS.udp, { localPort: seen, timeoutMs: 1000 });
      expect(direct).toMatchObject({ ok: true, peerAddress: backend() });
      const http = await lab.client().actor.http(nodeAddress(), nodePortOf(WEB), { localPort: localPort + 100 });
      const plain = await node.actor.http(backend(), POD_PORTS.http, {
        localPort: http.seenPort ?? 0,
        timeoutMs: 3000,
      });
      expect(plain).toMatchObject({ ok: true, peerAddress: backend() });
    }
  });

  it('a client outside uses the port that a process of the node has', async () => {
    const { lab } = rig;
    const localPort = base + 500;
    const talk = await lab.node(1).actor.open('tcp', backend(), POD_PORTS.tcp, { localPort });
    const outside = await lab.client().actor.tcp(nodeAddress(), nodePortOf(WEB) + 100, { localPort });
    expect(outside).toMatchObject({ ok: true, seenSource: nodeAddress() });
    expect(outside.seenPort).not.toBe(localPort);
    expect(await talk.exchange()).toMatchObject({ ok: true });
    await talk.close();
  });
});
