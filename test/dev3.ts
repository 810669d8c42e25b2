import { mkdirSync, writeFileSync } from 'node:fs';
import { createLab } from './support/lab/lab.ts';
const lab = await createLab({ nodes: 2, podsPerNode: 2 });
const p = [lab.pod(1, 1), lab.pod(1, 2), lab.pod(2, 1), lab.pod(2, 2)];
for (const x of p) await x.actor.serve({ http: [8080], tcp: [9090], udp: [5353] });
const dir = `/tmp/dev/manifests3`;
mkdirSync(dir, { recursive: true });
const svc = (name: string, spec: any) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' }, spec: { ipFamilies: ['IPv4', 'IPv6'], ...spec, ports: [{ name: 'http', port: 80, protocol: 'TCP', ...spec.np }, { name: 'udp', port: 53, protocol: 'UDP', ...spec.np }, { name: 'dead', port: 99, protocol: 'UDP', nodePort: spec.np.nodePort + 100 }] } });
const slice = (service: string, fam: string, eps: any[]) => ({ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: `${service}-${fam.toLowerCase()}`, namespace: 'default', labels: { 'kubernetes.io/service-name': service } }, addressType: fam, ports: [{ name: 'http', port: 8080, protocol: 'TCP' }, { name: 'udp', port: 5353, protocol: 'UDP' }, { name: 'dead', port: 1, protocol: 'UDP' }], endpoints: eps.map((e) => ({ addresses: [fam === 'IPv4' ? e.ipv4 : e.ipv6], nodeName: e.node ?? `node${e.name?.[4] ?? 1}`, conditions: { ready: true } })) });
const objs: any[] = [];
let i = 10;
const eps: any = { one: [[p[0], 'node1']], remote: [[p[2], 'node2']] };
for (const [name, e] of Object.entries(eps) as any) { i++; objs.push(svc(name, { type: 'NodePort', clusterIP: `10.96.0.${i}`, clusterIPs: [`10.96.0.${i}`, `fd96::${i}`], externalTrafficPolicy: 'Cluster', np: { nodePort: 30000 + i } })); for (const f of ['IPv4', 'IPv6']) objs.push(slice(name, f, e.map(([x, node]: any) => ({ ipv4: x.ipv4, ipv6: x.ipv6, node })))); }
writeFileSync(`${dir}/all.json`, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objs }));
writeFileSync('/tmp/dev/config.yaml', 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclusterCIDR: 10.244.0.0/16,fd44::/48\nnodePortAddresses: ["0.0.0.0/0","::/0"]\n');
const agents = [];
for (const n of ['node1', 'node2']) agents.push(await lab.startAgent(n, { manifests: dir, config: '/tmp/dev/config.yaml', socketLb: 'host-only' }));
const show = async (what: string, f: () => Promise<any>) => { try { const r = await f(); console.log(what.padEnd(58), JSON.stringify({ ok: r.ok, errno: r.errno, ms: Math.round(r.ms), who: r.who, src: r.seenSource, bytes: r.bytes })); } catch (e) { console.log(what, String(e)); } };
for (const six of [false, true]) {
  const node1 = six ? lab.node(1).ipv6! : lab.node(1).ipv4!;
  for (const [name, n] of [['one', 11], ['remote', 12]] as const) {
    const vip = six ? `fd96::${n}` : `10.96.0.${n}`;
    for (const bytes of [1000, 4000, 20000]) {
      await show(`client udp ${bytes} nodePort ${name} v${six ? 6 : 4}`, () => lab.client().actor.udp(node1, 30000 + n, { bytes }));
      await show(`pod1.2 udp ${bytes} clusterIP ${name} v${six ? 6 : 4}`, () => lab.pod(1, 2).actor.udp(vip, 53, { bytes }));
    }
    await show(`client udp dead nodePort ${name} v${six ? 6 : 4}`, () => lab.client().actor.udp(node1, 30100 + n));
    await show(`pod1.2 udp dead clusterIP ${name} v${six ? 6 : 4}`, () => lab.pod(1, 2).actor.udp(vip, 99));
  }
}
if (process.env.HOLD) { console.log(`lab ${lab.id}`); await new Promise((r) => setTimeout(r, Number(process.env.HOLD) * 1000)); }
await lab.destroy();
process.exit(0);
