/* What the socket programs share: one body for both families and both calls. */
#pragma once

#include "agent.h"
#include "bound.h"
#include "monitor_socket.h"
#include "signals.h"
#include "sock_memory.h"
#include "stats.h"

/* What a cgroup program returns. */
#define SOCK_REFUSE 0
#define SOCK_PROCEED 1

enum sock_verdict {
	/* Nothing of ours, or left to the packet path. */
	SOCK_AS_IT_IS,
	/* The address was replaced by that of a backend. */
	SOCK_TRANSLATED,
	/* The service has no usable endpoint. */
	SOCK_NO_BACKEND,
};

/* Is the calling process in the network namespace of the node? */
INLINE bool sock_is_host(__u64 netns_cookie)
{
	return netns_cookie == (knobs.host_netns_cookie ?: bpf_get_netns_cookie(NULL));
}

INLINE bool address_is_loopback4(const struct address *address)
{
	return address_is_v4(address) && address->b[12] == 127;
}

/*
 * Does the rule need the client's address, which a socket does not have yet? Then the packet path
 * serves it, with the same result for everyone. The node's own processes have no
 * such path: they are one client.
 */
INLINE bool sock_needs_packets(const struct frontend *frontend, bool host)
{
	if (host)
		return (frontend->flags & FRONTEND_SOURCE_RANGES) && !(frontend->flags & FRONTEND_HOST_ALLOWED);
	return frontend->affinity_seconds || (frontend->flags & (FRONTEND_SOURCE_RANGES | FRONTEND_BY_SOURCE));
}

/* The socket calls the backend of this flow by several names; now by @name. */
INLINE void sock_flow_shared(const struct sock_key *frontend, const struct sock_flow *flow,
			     const struct sock_address *name)
{
	struct sock_flow *peer;
	struct sock_key key;

	sock_key_set(&key, frontend->cookie, &flow->address, flow->port, frontend->proto);
	peer = bpf_map_lookup_elem(&sock_peers, &key);
	if (peer)
		sock_names_sent(&key, peer, name);
}

/*
 * A datagram has come from where a frontend is, and none of the Service's: from a process whose port is a NodePort,
 * say. What the socket sends there from now on is an answer, and goes there.
 */
NOINLINE void sock_heard(const struct sock_address *from, __u64 cookie)
{
	struct sock_flow flow = {.flags = SOCK_FLOW_ANSWERED, .last_seen = clock_now()};
	struct sock_key key;

	if (!from || !frontend_lookup(&from->address, from->port, IPPROTO_UDP, false))
		return;
	address_copy(&flow.address, &from->address);
	flow.port = from->port;
	sock_key_set(&key, cookie, &from->address, from->port, IPPROTO_UDP);
	bpf_map_update_elem(&sock_flows, &key, &flow, BPF_ANY);
}

/*
 * An unconnected UDP socket keeps its backend per frontend, as conntrack would, while datagrams
 * follow one another and the backend serves.
 */
INLINE bool sock_flow_continues(struct sock_address *to, const struct sock_key *key)
{
	struct sock_flow *flow = bpf_map_lookup_elem(&sock_flows, key);
	__u32 now = clock_now();

	if (!flow || clock_passed(now, flow->last_seen, knobs.udp_stream_seconds) ||
	    !backend_serves(flow->backend_id, flow->backend_generation))
		return false;
	flow->last_seen = now;
	if (unlikely(flow->flags & SOCK_FLOW_ANSWERED))
		return true;
	flow->datagrams++;
	if (unlikely(flow->flags & SOCK_FLOW_SHARED))
		sock_flow_shared(key, flow, to);
	address_copy(&to->address, &flow->address);
	to->port = flow->port;
	return true;
}

/*
 * Remembers which frontend stands behind the backend that the socket speaks to, for recvmsg and
 * getpeername, and for datagrams the way there too.
 */
NOINLINE void sock_remember(__u64 cookie, const struct sock_address *from, const struct backend_slot *slot,
			    const struct frontend *frontend, bool datagram)
{
	struct sock_flow *before;
	struct sock_flow flow = {};
	struct sock_key key;

	if (!from || !slot || !frontend)
		return;
	flow.service_port_id = frontend->service_port_id;
	flow.backend_id = slot->backend_id;
	flow.backend_generation = backend_generation(slot->backend_id);
	flow.last_seen = clock_now();

	address_make_known(&slot->address);
	sock_key_set(&key, cookie, &slot->address, slot->port, from->proto);
	address_copy(&flow.address, &from->address);
	flow.port = from->port;
	if (!datagram) {
		flow.flags = SOCK_FLOW_CONNECTED;
		bpf_map_update_elem(&sock_peers, &key, &flow, BPF_ANY);
		return;
	}
	before = bpf_map_lookup_elem(&sock_peers, &key);
	if (before && (before->port != from->port || !address_equal(&before->address, &from->address)) &&
	    !sock_peer_is_old(&key, before, flow.last_seen)) {
		sock_names_sent(&key, before, from);
		flow.flags = SOCK_FLOW_SHARED;
	} else {
		flow.flags = before ? before->flags & SOCK_FLOW_CONNECTED : 0;
		bpf_map_update_elem(&sock_peers, &key, &flow, BPF_ANY);
		flow.flags = 0;
	}
	sock_key_set(&key, cookie, &from->address, from->port, from->proto);
	address_copy(&flow.address, &slot->address);
	flow.port = slot->port;
	flow.datagrams = 1;
	bpf_map_update_elem(&sock_flows, &key, &flow, BPF_ANY);
}

/*
 * Does the pod redirect its own connections to a proxy beside it, as service meshes do? Then the proxy asks for the
 * original destination, which is to be the Service's. It is told by the port that such a proxy listens on.
 */
INLINE bool sock_has_mesh(struct bpf_sock_addr *ctx, const struct address *to, __be16 port)
{
	struct bpf_sock_tuple tuple;
	struct address loopback = {};
	struct bpf_sock *sk;
	__u32 length;

	if (!port)
		return false;
	if (address_is_v4(to))
		address_from_v4(&loopback, bpf_htonl(0x7f000001));
	else
		loopback.b[15] = 1;
	length = bound_tuple(&tuple, &loopback, port);
	sk = bpf_sk_lookup_tcp(ctx, &tuple, length, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

/* As deep below the root of all cgroups the cgroup of a pod is looked for. */
#define SOCK_CGROUP_LEVELS 16

/* Does the calling process belong to a pod that opted out? Its containers have cgroups below the pod's. */
NOINLINE bool sock_opted_out(void)
{
	struct cgroup_key key;
	int level;

	for (level = 1; level <= SOCK_CGROUP_LEVELS; level++) {
		key.id = bpf_get_current_ancestor_cgroup_id(level);
		if (!key.id)
			return false;
		if (bpf_map_lookup_elem(&socket_opt_outs, &key))
			return true;
	}
	return false;
}

/*
 * The frontend that a process dials; NULL when it dials something else. An unspecified address is the caller's
 * own loopback (Linux reads it so), not the key of NodePorts.
 */
INLINE const struct frontend *sock_frontend(const struct sock_address *to, bool host, bool *localhost)
{
	bool any = address_is_any(&to->address);

	*localhost = host && knobs.localhost_node_ports &&
		     (address_is_loopback4(&to->address) || (any && address_is_v4(&to->address)));
	if (any)
		return *localhost ? frontend_of_node_port(&to->address, to->port, to->proto) : NULL;
	return frontend_lookup(&to->address, to->port, to->proto, *localhost);
}

/* Is the socket left alone, although it dials a frontend? */
INLINE bool sock_is_left(struct bpf_sock_addr *ctx, const struct sock_address *to, const struct frontend *frontend,
			 __u64 cookie, bool host)
{
	if (sock_needs_packets(frontend, host)) {
		stats_count(REASON_SOCKET_LEFT_TO_PACKETS, 0);
		return true;
	}
	/* No object takes an address of a ServiceCIDR away: cluster IPs lead to the API server, where it is dialled so.
	 */
	if (host && !(frontend->flags & FRONTEND_CLUSTER_IP) && agent_calls()) {
		agent_remember(cookie);
		return true;
	}
	/* The node has the address: from a pod the packet path asks whether a socket has it too. */
	if (frontend->flags & FRONTEND_CLUSTER_IP && node_address_flags(&to->address) & NODE_ADDRESS_LOCAL &&
	    (!host || bound_here(ctx, &to->address, to->port, to->proto)))
		return true;
	if (!host && knobs.socket_opt_outs && sock_opted_out()) {
		stats_count(REASON_SOCKET_LEFT_TO_PACKETS, 0);
		return true;
	}
	if (!host && to->proto == IPPROTO_TCP &&
	    (sock_has_mesh(ctx, &to->address, knobs.mesh_port1) ||
	     sock_has_mesh(ctx, &to->address, knobs.mesh_port2))) {
		stats_count(REASON_SOCKET_LEFT_TO_PACKETS, 0);
		return true;
	}
	return false;
}

/*
 * Points a destination at a backend.
 * @to: in: what the process dialled; out: the backend, when SOCK_TRANSLATED is returned.
 * @datagram: a single datagram (sendmsg); else the socket is being connected.
 */
NOINLINE enum sock_verdict sock_translate(struct bpf_sock_addr *ctx, struct sock_address *to, bool datagram)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	const struct frontend *frontend;
	const struct backend_slot *slot;
	struct sock_address dialled;
	struct address client = {};
	struct sock_key key;
	bool host, localhost;

	if (!to || (to->proto != IPPROTO_TCP && to->proto != IPPROTO_UDP))
		return SOCK_AS_IT_IS;
	host = sock_is_host(bpf_get_netns_cookie(ctx));
	if (!host && !knobs.socket_lb_pods)
		return SOCK_AS_IT_IS;
	frontend = sock_frontend(to, host, &localhost);
	if (!frontend || sock_is_left(ctx, to, frontend, cookie, host))
		return SOCK_AS_IT_IS;
	dialled = *to;
	if (datagram) {
		sock_key_set(&key, cookie, &to->address, to->port, to->proto);
		if (sock_flow_continues(to, &key))
			return SOCK_TRANSLATED;
	}
	if (standing_by())
		return SOCK_AS_IT_IS;
	slot = backend_select(frontend, true, &client, NULL, &to->address, bpf_get_prandom_u32());
	if (!slot) {
		/* To be dropped in silence: the packets are. Or to be left to routing. */
		if (frontend->flags & (FRONTEND_INTERNAL_DROP | FRONTEND_ROUTER))
			return SOCK_AS_IT_IS;
		stats_count(REASON_REJECT_NO_BACKEND, 0);
		signal_count(frontend->service_port_id, SIGNAL_REFUSED);
		monitor_socket(REASON_REJECT_NO_BACKEND, &dialled, frontend, NULL);
		return SOCK_NO_BACKEND;
	}
	sock_remember(cookie, &dialled, slot, frontend, datagram);
	address_copy(&to->address, &slot->address);
	to->port = slot->port;
	sock_memory_set(ctx, &dialled, to);
	stats_count(datagram ? REASON_SOCKET_SEND : REASON_SOCKET_CONNECT, 0);
	signal_count(frontend->service_port_id, SIGNAL_OPENED);
	monitor_socket(datagram ? REASON_SOCKET_SEND : REASON_SOCKET_CONNECT, &dialled, frontend, slot);
	if (localhost)
		stats_count(REASON_SOCKET_LOCALHOST, 0);
	return SOCK_TRANSLATED;
}

/*
 * Can nothing be a frontend that is dialled so? Most is nobody's here, and a byte says so (lib/known.h): of the
 * address, and where that is one of backends or of the node, of the port.
 */
INLINE bool sock_dials_nobody(const struct sock_address *to)
{
	const struct known_addresses *known = known_get();

	if (!port_is_known(known, to->port) && to->proto != IPPROTO_UDP)
		return true;
	return !address_is_known(known, &to->address) && !address_is_any(&to->address) &&
	       !(knobs.localhost_node_ports && address_is_loopback4(&to->address));
}

/*
 * connect and sendmsg. What a UDP socket is connected to by itself stands for no frontend, whatever it was connected to
 * before.
 */
INLINE enum sock_verdict sock_dial(struct bpf_sock_addr *ctx, struct sock_address *to, bool datagram)
{
	enum sock_verdict verdict;
	struct sock_key key;

	if (likely(sock_dials_nobody(to)))
		return SOCK_AS_IT_IS;
	verdict = port_is_known(known_get(), to->port) ? sock_translate(ctx, to, datagram) : SOCK_AS_IT_IS;
	if (verdict != SOCK_AS_IT_IS || to->proto != IPPROTO_UDP)
		return verdict;
	sock_key_set(&key, bpf_get_socket_cookie(ctx), &to->address, to->port, to->proto);
	if (datagram)
		sock_names_direct(to, key.cookie);
	else
		bpf_map_delete_elem(&sock_peers, &key);
	if (!bpf_map_lookup_elem(&sock_peers, &key))
		sock_memory_forget(ctx, to);
	return verdict;
}

/*
 * Where a UDP packet goes that a socket sends. The data begin with the network header here.
 * Returns false for what has no UDP header right behind it.
 */
INLINE bool sock_key_of_packet(struct sock_key *key, struct __sk_buff *skb)
{
	struct ipv6hdr ip6;
	struct iphdr ip4;
	__u32 l4_offset;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 0, &ip4, sizeof(ip4)) || ip4.protocol != IPPROTO_UDP)
			return false;
		address_from_v4(&key->address, ip4.daddr);
		l4_offset = ip4.ihl * 4;
	} else {
		if (bpf_skb_load_bytes(skb, 0, &ip6, sizeof(ip6)) || ip6.nexthdr != IPPROTO_UDP)
			return false;
		address_copy(&key->address, (struct address *)&ip6.daddr);
		l4_offset = sizeof(ip6);
	}
	key->proto = IPPROTO_UDP;
	return !bpf_skb_load_bytes(skb, l4_offset + offsetof(struct udphdr, dest), &key->port, sizeof(key->port));
}

/* Did the socket hook point this socket there, at a backend that serves no more? */
INLINE bool sock_peer_is_gone(const struct sock_key *key)
{
	const struct sock_flow *peer = bpf_map_lookup_elem(&sock_peers, key);

	return peer && !backend_serves(peer->backend_id, peer->backend_generation);
}
