/* What the socket programs share: one body for both families and both calls. */
#pragma once

#include "clock.h"
#include "lookup.h"
#include "select.h"
#include "stats.h"

/* What a cgroup program returns. */
#define SOCK_REFUSE 0
#define SOCK_PROCEED 1

/* A destination as a process named it, or the backend it is to be. */
struct sock_address {
	struct address address;
	__be16 port;
	__u8 proto;
};

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

INLINE void sock_key_set(struct sock_key *key, __u64 cookie, const struct address *address, __be16 port, __u8 proto)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->cookie = cookie;
	address_copy(&key->address, address);
	key->port = port;
	key->proto = proto;
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
	return frontend->affinity_seconds || (frontend->flags & FRONTEND_SOURCE_RANGES);
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
	const struct sock_flow *before;
	struct sock_flow flow = {};
	struct sock_key key;

	if (!from || !slot || !frontend)
		return;
	flow.service_port_id = frontend->service_port_id;
	flow.backend_id = slot->backend_id;
	flow.backend_generation = backend_generation(slot->backend_id);
	flow.last_seen = clock_now();

	sock_key_set(&key, cookie, &slot->address, slot->port, from->proto);
	address_copy(&flow.address, &from->address);
	flow.port = from->port;
	before = datagram ? bpf_map_lookup_elem(&sock_peers, &key) : NULL;
	flow.flags = datagram ? (before ? before->flags : 0) : SOCK_FLOW_CONNECTED;
	bpf_map_update_elem(&sock_peers, &key, &flow, BPF_ANY);
	flow.flags = 0;
	if (!datagram)
		return;
	sock_key_set(&key, cookie, &from->address, from->port, from->proto);
	address_copy(&flow.address, &slot->address);
	flow.port = slot->port;
	bpf_map_update_elem(&sock_flows, &key, &flow, BPF_ANY);
}

/*
 * Points a destination at a backend.
 * @to: in: what the process dialled; out: the backend, when SOCK_TRANSLATED is returned.
 * @datagram: a single datagram (sendmsg); else the socket is being connected.
 */
NOINLINE enum sock_verdict sock_translate(struct sock_address *to, __u64 cookie, __u64 netns_cookie, bool datagram)
{
	const struct frontend *frontend;
	const struct backend_slot *slot;
	struct sock_address dialled;
	struct address client = {};
	struct sock_key key;
	bool host, localhost;

	if (!to || (to->proto != IPPROTO_TCP && to->proto != IPPROTO_UDP))
		return SOCK_AS_IT_IS;
	host = sock_is_host(netns_cookie);
	if (!host && !knobs.socket_lb_pods)
		return SOCK_AS_IT_IS;
	localhost = host && knobs.localhost_node_ports && address_is_loopback4(&to->address);
	frontend = frontend_lookup(&to->address, to->port, to->proto, localhost);
	if (!frontend)
		return SOCK_AS_IT_IS;
	if (sock_needs_packets(frontend, host)) {
		stats_count(REASON_SOCKET_LEFT_TO_PACKETS, 0);
		return SOCK_AS_IT_IS;
	}
	dialled = *to;
	if (datagram) {
		sock_key_set(&key, cookie, &to->address, to->port, to->proto);
		if (sock_flow_continues(to, &key))
			return SOCK_TRANSLATED;
	}
	slot = backend_select(frontend, true, &client, bpf_get_prandom_u32());
	if (!slot) {
		/* To be dropped in silence: the packets are. Or to be left to routing. */
		if (frontend->flags & (FRONTEND_INTERNAL_DROP | FRONTEND_ROUTER))
			return SOCK_AS_IT_IS;
		stats_count(REASON_REJECT_NO_BACKEND, 0);
		return SOCK_NO_BACKEND;
	}
	sock_remember(cookie, &dialled, slot, frontend, datagram);
	address_copy(&to->address, &slot->address);
	to->port = slot->port;
	stats_count(datagram ? REASON_SOCKET_SEND : REASON_SOCKET_CONNECT, 0);
	if (localhost)
		stats_count(REASON_SOCKET_LOCALHOST, 0);
	return SOCK_TRANSLATED;
}

/*
 * The frontend that the socket's peer stands for, for recvmsg and getpeername.
 * @peer: in: the backend; out: the frontend, when true is returned.
 */
NOINLINE bool sock_translate_back(struct sock_address *peer, __u64 cookie)
{
	const struct sock_flow *flow;
	struct sock_key key;

	if (!peer)
		return false;
	sock_key_set(&key, cookie, &peer->address, peer->port, peer->proto);
	flow = bpf_map_lookup_elem(&sock_peers, &key);
	if (!flow)
		return false;
	address_copy(&peer->address, &flow->address);
	peer->port = flow->port;
	return true;
}

/*
 * connect and sendmsg. What a UDP socket is connected to by itself stands for no frontend, whatever it
 * was connected to before.
 */
INLINE enum sock_verdict sock_dial(struct sock_address *to, __u64 cookie, __u64 netns_cookie, bool datagram)
{
	enum sock_verdict verdict = sock_translate(to, cookie, netns_cookie, datagram);
	struct sock_key key;

	if (verdict == SOCK_AS_IT_IS && !datagram && to->proto == IPPROTO_UDP) {
		sock_key_set(&key, cookie, &to->address, to->port, to->proto);
		bpf_map_delete_elem(&sock_peers, &key);
	}
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
