/** More of a flag than its line of help says, for docs/flags.md. Each stands for the line of help. */
export const FLAG_DETAILS: Readonly<Record<string, string>> = {
  '--node-name': "name of this node's Node object, the host name unless it is given; wins over `hostnameOverride`",
  '--kubeconfig':
    'how to reach the API server; wins over `clientConnection.kubeconfig`. Neither: the service account of the Pod',
  '--manifests':
    'read Services, their endpoints and the Node from YAML or JSON files below it, followed for changes: [Manifests](manifests.md)',
  '--config': 'a KubeProxyConfiguration, `kubeproxy.config.k8s.io/v1alpha1`: [Configuration](configuration.md)',
  '--strict-config': 'a key of that file that is not known, or written twice, ends the agent in place of a warning',
  '--devices':
    'node devices, by which traffic from outside enters; else every device that carries a default route or an address of global scope: [Devices](operations.md#devices)',
  '--socket-lb': 'whom the socket hook serves; `host-only`: pods are served per packet',
  '--watch-pods':
    'pods opt out of the socket hook by `sluice.io/socket-lb: "false"`: [how](operations.md#pods-that-opt-out-of-the-socket-hook)',
  '--pod-devices':
    "the pods' host-side devices, e.g. `cali*,lxc*`; else veths and netkits whose other end is in another namespace, but for the ports of a bridge that is a node device",
  '--cgroup-root': 'cgroup v2 subtree that the socket hook is attached to; else the first cgroup2 mount',
  '--mesh-ports':
    'two ports at most: a pod that listens on one is served per packet for TCP, so that its sidecar sees the Service as original destination; `""`: none',
  '--forwarding-mode':
    'how packets from outside reach backends on other nodes, of Services that choose nothing: [Forwarding modes](operations.md#forwarding-modes)',
  '--dsr-encapsulation': 'how they travel with DSR; both kinds are received',
  '--watch-nodes': 'know the other nodes although no Service asks for it, to take what they send encapsulated',
  '--respect-netfilter':
    "packets from outside for backends on other nodes go through the stack, so that rules of netfilter meet them: [The host's firewall](security.md#the-hosts-firewall)",
  '--xdp': 'whether packets for backends on other nodes are carried in XDP on node devices: [XDP](operations.md#xdp)',
  '--service-proxy-name':
    'serve only Services with the label `service.kubernetes.io/service-proxy-name: NAME`, beside another proxy; packets to cluster IPs that no Service has are then left alone',
};
