/** Devices that some kernels lack: a client reaches Services of a node by each kind, and what cannot be served is told. */
import { writeConfiguration } from '../support/cluster/configuration.ts';
import { nodePortOf, service, slices } from '../support/cluster/objects.ts';
import { createRig, type Rig } from '../support/cluster/rig.ts';
import { type Agent, sluiceCommand } from '../support/lab/agent.ts';
import { type Check, PATIENCE_MS } from './check.ts';

/** Of iproute2: the guest's shell, through which hosts run what they are asked, takes busybox's own else. */
const IP = '/usr/bin/ip';
const SERVICES = { near: 11, far: 12 } as const;

/** A wire between client and node1, and what both ends make of theirs: `device` has the address at last. */
interface Kind {
  readonly name: string;
  /** The third byte of its network. */
  readonly net: number;
  /** Commands of one end; `wire` is the veth, up. */
  readonly make: (wire: string, device: string) => string[];
  /** More at the node. */
  readonly atNode?: (rig: Rig, device: string) => string[];
  /** Of the node's devices that it takes nothing is attached to this one. */
  readonly notAttached?: string;
}

const vrfRoutes = (rig: Rig, device: string): string[] => {
  const [own, other] = [rig.lab.node(1), rig.lab.node(2)];
  return [
    'link add blue type vrf table 10',
    'link set blue up',
    `link set ${device} master blue`,
    // Routes that lead from one table to the other, as an operator of VRFs writes them.
    `route add 10.244.${own.n}.0/24 dev cni0 table 10`,
    `route add 10.244.${other.n}.0/24 via ${other.ipv4} dev eth0 onlink table 10`,
    `route add 172.40.4.0/24 dev ${device}`,
  ];
};

const KINDS: readonly Kind[] = [
  { name: 'vlan', net: 1, make: (wire, device) => [`link add link ${wire} name ${device} type vlan id 7`] },
  {
    name: 'bond',
    net: 2,
    make: (wire, device) => [
      `link add ${device} type bond mode active-backup`,
      `link set ${wire} down`,
      `link set ${wire} master ${device}`,
      `link set ${wire} up`,
    ],
    notAttached: 'wbond',
  },
  { name: 'macvlan', net: 3, make: (wire, device) => [`link add link ${wire} name ${device} type macvlan`] },
  {
    name: 'vrf',
    net: 4,
    make: (wire, device) => [`link set ${wire} down`, `link set ${wire} name ${device}`],
    atNode: vrfRoutes,
    notAttached: 'blue',
  },
];

/** They are made and get an address, that is all: nothing can be attached to them. */
const WITHOUT_ETHERNET = [
  { name: 'wireguard', line: 'link add nwg type wireguard', device: 'nwg', net: 8 },
  { name: 'ipip', line: 'link add nipip type ipip local 172.30.0.11 remote 172.30.0.77', device: 'nipip', net: 9 },
];

class Devices {
  #rig: Rig | undefined;
  #agent: Agent | undefined;
  /** Names of kinds that this kernel has. */
  readonly made = new Set<string>();

  get rig(): Rig {
    if (this.#rig === undefined) throw new Error('the lab was not laid out');
    return this.#rig;
  }

  async layOut(): Promise<void> {
    this.#rig = await createRig();
    const { lab, manifests } = this.rig;
    manifests.write('services.json', [
      service('near', SERVICES.near),
      ...slices('near', [lab.pod(1, 1)]),
      service('far', SERVICES.far),
      ...slices('far', [lab.pod(2, 1)]),
    ]);
  }

  /** @throws Error with what `ip` said, when this kernel has no such device */
  async make(kind: Kind): Promise<void> {
    const [client, node] = [this.rig.lab.client(), this.rig.lab.node(1)];
    const wire = `w${kind.name}`;
    await client.run([IP, 'link', 'add', wire, 'type', 'veth', 'peer', 'name', wire, 'netns', node.netns]);
    for (const [host, last] of [
      [client, 1],
      [node, 11],
    ] as const) {
      const device = `d${kind.name}`;
      const lines = [
        `link set ${wire} up`,
        ...kind.make(wire, device),
        `addr add 172.40.${kind.net}.${last}/24 dev ${device}`,
        `link set ${device} up`,
        ...(host === node ? (kind.atNode?.(this.rig, device) ?? []) : []),
      ];
      await host.run([IP, '-batch', '-'], { input: `${lines.join('\n')}\n` });
      await host.run(['sysctl', '-qw', `net.ipv4.conf.${device}.rp_filter=2`]);
    }
    this.made.add(kind.name);
  }

  async makeWithoutEthernet(): Promise<void> {
    for (const { name, line, device, net } of WITHOUT_ETHERNET) {
      const lines = [line, `addr add 172.40.${net}.11/24 dev ${device}`, `link set ${device} up`];
      await this.rig.lab.node(1).run([IP, '-batch', '-'], { input: `${lines.join('\n')}\n` });
      this.made.add(name);
    }
  }

  async startAgent(): Promise<void> {
    const config = writeConfiguration(this.rig.lab, { nodePortAddresses: ['172.40.0.0/16'] }, 'devices');
    // The wires are veths too: they are no pods' devices.
    const options = { config, podDevices: 'veth0*', timeoutMs: PATIENCE_MS };
    this.#agent = await this.rig.startAgent(1, options);
  }

  /** @throws Error that lists what was not answered */
  async reach({ name, net }: Kind): Promise<string> {
    if (!this.made.has(name)) throw new Error('this kernel has no such device');
    const client = this.rig.lab.client();
    const wrong: string[] = [];
    for (const [backend, n] of Object.entries(SERVICES))
      for (const protocol of ['http', 'udp'] as const) {
        const port = nodePortOf(n);
        const { ok, errno } = await client.actor[protocol](`172.40.${net}.11`, port, { timeoutMs: 60_000 });
        if (!ok) wrong.push(`${protocol}, backend ${backend}: ${errno}`);
      }
    if (wrong.length > 0) throw new Error(wrong.join('\n'));
    return 'TCP and UDP, backend here and elsewhere';
  }

  /** @throws Error unless devices are attached to once, and those that cannot be are told */
  async status(): Promise<string> {
    const node = this.rig.lab.node(1);
    const text = await node.run(sluiceCommand('status', '--bpf-root', node.bpfRoot), { timeoutMs: PATIENCE_MS });
    const attached = (device: string) => new RegExp(`(tcx|clsact) ingress +${device}\\b`).test(text);
    const kinds = KINDS.filter(({ name }) => this.made.has(name));
    const wrong = [
      ...kinds.filter(({ name }) => !attached(`d${name}`)).map(({ name }) => `nothing is attached to d${name}`),
      ...kinds.flatMap(({ notAttached: other }) => (other && attached(other) ? [`${other} is attached to`] : [])),
      ...WITHOUT_ETHERNET.filter(({ name }) => this.made.has(name))
        .filter(
          ({ device }) => !new RegExp(`^left out: +${device}: its packets have no Ethernet header`, 'm').test(text),
        )
        .map(({ device }) => `${device} is not told to be left out`),
    ];
    if (wrong.length > 0) throw new Error(`${wrong.join('\n')}\n${text.split('\n').slice(0, 40).join('\n')}`);
    return [...this.made].join(', ');
  }

  async end(): Promise<void> {
    await this.#agent?.stop();
    await this.#rig?.lab.destroy();
  }
}

export function deviceChecks(): Check[] {
  const devices = new Devices();
  return [
    { name: 'devices: a lab of two nodes', vital: true, run: () => devices.layOut() },
    ...KINDS.map((kind) => ({ name: `devices: ${kind.name} is made`, run: () => devices.make(kind) })),
    { name: 'devices: WireGuard and ipip are made', run: () => devices.makeWithoutEthernet() },
    { name: 'devices: an agent', vital: true, run: () => devices.startAgent() },
    ...KINDS.map((kind) => ({ name: `devices: NodePorts by ${kind.name}`, run: () => devices.reach(kind) })),
    { name: 'devices: status tells which are served', run: () => devices.status() },
    { name: 'devices: the lab is gone without a trace', run: () => devices.end() },
  ];
}
