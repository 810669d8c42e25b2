/*
 * By which name a socket knows the backend that answers it: recvmsg and getpeername say what the process dialled
 * . One name is the rule, and sock_peers has it. An unconnected UDP socket may dial one backend by several
 * names, two Services or the backend itself: then sock_names has the names in the order in which they were used, for
 * that is the order in which the answers come. An answer that is lost is waited for no longer than a resolver would.
 */
#pragma once

#include "clock.h"
#include "known.h"
#include "select.h"

#define NAMES 4
/* As many as sock_names.order has room for. */
#define NAMES_WAITING 32
/* Answers that are later than this are not waited for. */
#define NAMES_SECONDS 5

/* A destination as a process named it, or the backend it is to be. */
struct sock_address {
	struct address address;
	__be16 port;
	__u8 proto;
};

/*
 * An empty row, too long for the stack, which nobody writes: processes are preempted in these hooks, so no memory of a
 * CPU is anybody's own. A row is put into the table first and filled in there, where the socket alone writes it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sock_names);
} no_names SEC(".maps");

INLINE void sock_key_set(struct sock_key *key, __u64 cookie, const struct address *address, __be16 port, __u8 proto)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->cookie = cookie;
	address_copy(&key->address, address);
	key->port = port;
	key->proto = proto;
}

INLINE struct sock_flow *sock_flow_of(const struct sock_key *peer, const struct address *frontend, __be16 port)
{
	struct sock_key key;

	sock_key_set(&key, peer->cookie, frontend, port, peer->proto);
	return bpf_map_lookup_elem(&sock_flows, &key);
}

/* Was nothing sent by this name for so long that conntrack would have forgotten it? */
INLINE bool sock_peer_is_old(const struct sock_key *key, struct sock_flow *peer, __u32 now)
{
	const struct sock_flow *flow;

	if (key->proto != IPPROTO_UDP || peer->flags & SOCK_FLOW_CONNECTED ||
	    !clock_passed(now, peer->last_seen, knobs.udp_stream_seconds))
		return false;
	flow = sock_flow_of(key, &peer->address, peer->port);
	if (!flow || clock_passed(now, flow->last_seen, knobs.udp_stream_seconds))
		return true;
	peer->last_seen = flow->last_seen;
	return false;
}

INLINE void sock_names_push(struct sock_names *names, const struct sock_address *name, __u32 now)
{
	__u32 at = (names->latest + 1) % NAMES;

	for (__u32 i = 0; i < NAMES; i++)
		if (names->names[i].port == name->port && address_equal(&names->names[i].address, &name->address))
			at = i;
	address_copy(&names->names[at % NAMES].address, &name->address);
	names->names[at % NAMES].port = name->port;
	if (clock_passed(now, names->last_seen, NAMES_SECONDS)) {
		names->waiting = 0;
		names->order = 0;
	}
	if (names->waiting < NAMES_WAITING) {
		names->order |= (__u64)at << (2 * names->waiting);
		names->waiting++;
	}
	names->latest = at;
	names->last_seen = now;
}

/* The socket begins to call the backend by a second name. The first is waited for if its answers have not come. */
NOINLINE struct sock_names *sock_names_begin(const struct sock_key *key, struct sock_flow *peer)
{
	__u32 now = clock_now(), zero = 0, missing;
	struct sock_names *names;
	struct sock_flow *flow;

	if (!key || !peer)
		return NULL;
	names = bpf_map_lookup_elem(&no_names, &zero);
	if (!names || bpf_map_update_elem(&sock_names, key, names, BPF_ANY))
		return NULL;
	names = bpf_map_lookup_elem(&sock_names, key);
	if (!names)
		return NULL;
	names->last_seen = now;
	address_copy(&names->names[0].address, &peer->address);
	names->names[0].port = peer->port;
	flow = sock_flow_of(key, &peer->address, peer->port);
	if (flow) {
		flow->flags |= SOCK_FLOW_SHARED;
		missing = flow->datagrams - peer->datagrams;
		if ((__s32)missing > 0 && !clock_passed(now, flow->last_seen, NAMES_SECONDS))
			names->waiting = missing > 1 ? 2 : 1;
	}
	peer->flags |= SOCK_FLOW_SHARED;
	return names;
}

/*
 * A datagram goes to a backend under a name that is not the only one.
 * @key: the backend. @peer: its row.
 */
NOINLINE void sock_names_sent(const struct sock_key *key, struct sock_flow *peer, const struct sock_address *name)
{
	struct sock_names *names = NULL;

	if (!key || !peer || !name)
		return;
	if (peer->flags & SOCK_FLOW_SHARED)
		names = bpf_map_lookup_elem(&sock_names, key);
	if (!names)
		names = sock_names_begin(key, peer);
	if (names)
		sock_names_push(names, name, clock_now());
}

/* A datagram to an address that is no frontend: if answers from there have another name, they need not from now on. */
NOINLINE void sock_names_direct(const struct sock_address *to, __u64 cookie)
{
	struct sock_flow *peer;
	struct sock_key key;

	if (!to)
		return;
	sock_key_set(&key, cookie, &to->address, to->port, to->proto);
	peer = bpf_map_lookup_elem(&sock_peers, &key);
	if (!peer || peer->flags & SOCK_FLOW_CONNECTED)
		return;
	if (sock_peer_is_old(&key, peer, clock_now()))
		bpf_map_delete_elem(&sock_peers, &key);
	else
		sock_names_sent(&key, peer, to);
}

/* The name of the next answer. Returns false when nothing was sent for too long. */
INLINE bool sock_names_next(const struct sock_key *key, struct sock_address *peer, __u32 now)
{
	struct sock_names *names = bpf_map_lookup_elem(&sock_names, key);
	__u32 at;

	if (!names || clock_passed(now, names->last_seen, knobs.udp_stream_seconds))
		return false;
	at = names->latest;
	if (names->waiting) {
		at = names->order & 3;
		names->order >>= 2;
		names->waiting--;
	}
	address_copy(&peer->address, &names->names[at % NAMES].address);
	peer->port = names->names[at % NAMES].port;
	return true;
}

/*
 * The name of the socket's peer.
 * @peer: in: the backend; out: what the process dialled, when true is returned.
 * @received: a datagram came from there; else the process asks whom it is connected to.
 */
NOINLINE bool sock_translate_back(struct sock_address *peer, __u64 cookie, bool received)
{
	struct sock_flow *flow;
	struct sock_key key;
	__u32 now;

	if (!peer || !address_is_known(known_get(), &peer->address))
		return false;
	sock_key_set(&key, cookie, &peer->address, peer->port, peer->proto);
	flow = bpf_map_lookup_elem(&sock_peers, &key);
	if (!flow)
		return false;
	now = clock_now();
	if (received) {
		flow->datagrams++;
		if (flow->flags & SOCK_FLOW_SHARED && sock_names_next(&key, peer, now))
			return true;
	}
	if (sock_peer_is_old(&key, flow, now))
		return false;
	address_copy(&peer->address, &flow->address);
	peer->port = flow->port;
	return true;
}
