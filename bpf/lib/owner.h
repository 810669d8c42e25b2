/*
 * Whose is a tuple? A packet begins a flow, and source NAT takes a port, only where nobody else has the tuple (R-102,
 * no socket of this node, and nobody whose connection nf_conntrack follows. What a flow owns, the flow tables
 * say.
 */
#pragma once

#include "lookup.h"
#include "packet.h"

/* Addresses and ports as the kernel's lookups want them. Returns the length of @tuple. */
INLINE __u32 owner_tuple(struct bpf_sock_tuple *tuple, const struct flow_key *key)
{
	if (address_is_v4(&key->daddr)) {
		tuple->ipv4.saddr = address_word(&key->saddr, 3);
		tuple->ipv4.daddr = address_word(&key->daddr, 3);
		tuple->ipv4.sport = key->sport;
		tuple->ipv4.dport = key->dport;
		return sizeof(tuple->ipv4);
	}
	__builtin_memcpy(tuple->ipv6.saddr, &key->saddr, 16);
	__builtin_memcpy(tuple->ipv6.daddr, &key->daddr, 16);
	tuple->ipv6.sport = key->sport;
	tuple->ipv6.dport = key->dport;
	return sizeof(tuple->ipv6);
}

/*
 * Does a socket of this node get the packets of @key? A TCP listener does not: its connections have tuples of their
 * own. @connected: neither does a UDP socket that hears everybody.
 */
NOINLINE bool owner_is_socket(struct context *ctx, const struct flow_key *key, bool connected)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;
	__u32 length;
	bool owns;

	if (!key)
		return true;
	length = owner_tuple(&tuple, key);
	if (key->proto == IPPROTO_TCP) {
		sk = bpf_skc_lookup_tcp(ctx, &tuple, length, BPF_F_CURRENT_NETNS, 0);
		if (!sk)
			return false;
		owns = sk->state != BPF_TCP_LISTEN;
	} else {
		/* Of SCTP's sockets the kernel tells nothing; what has the port in UDP is no worse a guess than none.
		 */
		sk = bpf_sk_lookup_udp(ctx, &tuple, length, BPF_F_CURRENT_NETNS, 0);
		if (!sk)
			return false;
		owns = !connected || sk->dst_port;
	}
	bpf_sk_release(sk);
	return owns;
}

enum owner_conntrack {
	/* No connection has the tuple, or nobody can tell. */
	CONNTRACK_NONE,
	/* Packets as the one who began the connection sends them. */
	CONNTRACK_ORIGINAL,
	/* Answers to them. */
	CONNTRACK_REPLY,
};

#ifdef SLUICE_CONNTRACK
/* include/net/netfilter/nf_conntrack_bpf.h */
struct bpf_ct_opts___sluice {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};

/* enum tcp_conntrack of the kernel: states in which a connection still has its tuple. */
#define CONNTRACK_TCP_SYN_SENT 1
#define CONNTRACK_TCP_LAST_ACK 6

/* What is read of the kernel's own; where it lies the loader finds out from the kernel's BTF. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct ip_ct_tcp {
	__u8 state;
};

union nf_conntrack_proto {
	struct ip_ct_tcp tcp;
};

union nf_inet_addr {
	__u32 all[4];
};

union nf_conntrack_man_proto {
	__be16 all;
};

struct nf_conntrack_man {
	union nf_inet_addr u3;
	union nf_conntrack_man_proto u;
};

struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
};

struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
};

struct nf_conn {
	struct nf_conntrack_tuple_hash tuplehash[2];
	unsigned long status;
	union nf_conntrack_proto proto;
};
#pragma clang attribute pop

/* enum ip_conntrack_status: netfilter gave it another destination. */
#define CONNTRACK_DST_NAT (1 << 5)

extern struct nf_conn *context_ct_lookup(struct context *ctx, struct bpf_sock_tuple *tuple, __u32 tuple_size,
					 struct bpf_ct_opts___sluice *opts, __u32 opts_size) __ksym;
extern void bpf_ct_release(struct nf_conn *conn) __ksym;

/* Which connection of nf_conntrack has packets of @key, in the default zone of this network namespace? TCP and UDP. */
NOINLINE enum owner_conntrack owner_in_conntrack(struct context *ctx, const struct flow_key *key)
{
	struct bpf_ct_opts___sluice opts = {.netns_id = BPF_F_CURRENT_NETNS};
	struct bpf_sock_tuple tuple = {};
	struct nf_conn *conn;
	__u32 length;

	if (!key || (key->proto != IPPROTO_TCP && key->proto != IPPROTO_UDP))
		return CONNTRACK_NONE;
	opts.l4proto = key->proto;
	length = owner_tuple(&tuple, key);
	conn = context_ct_lookup(ctx, &tuple, length, &opts, sizeof(opts));
	if (!conn)
		return CONNTRACK_NONE;
	bpf_ct_release(conn);
	return opts.dir ? CONNTRACK_REPLY : CONNTRACK_ORIGINAL;
}

/* Does a TCP connection have packets of @key that has not ended? */
NOINLINE bool owner_is_open(struct context *ctx, const struct flow_key *key)
{
	struct bpf_ct_opts___sluice opts = {.netns_id = BPF_F_CURRENT_NETNS, .l4proto = IPPROTO_TCP};
	struct bpf_sock_tuple tuple = {};
	struct nf_conn *conn;
	__u32 length;
	__u8 state;

	if (!key || key->proto != IPPROTO_TCP)
		return false;
	length = owner_tuple(&tuple, key);
	conn = context_ct_lookup(ctx, &tuple, length, &opts, sizeof(opts));
	if (!conn)
		return false;
	state = conn->proto.tcp.state;
	bpf_ct_release(conn);
	return state >= CONNTRACK_TCP_SYN_SENT && state <= CONNTRACK_TCP_LAST_ACK;
}

/* Slots of a frontend that are looked through. */
#define OWNER_SLOTS 128

/* May a new flow of @frontend be given this backend? Of one with very many it is taken for granted. */
NOINLINE bool owner_has_backend(const struct frontend *frontend, const struct address *address, __be16 port)
{
	const struct backend_slot *slot;
	__u32 base, count, index;

	if (!frontend || !address)
		return false;
	/* The one of the two lists that holds more. */
	count = frontend->internal_count;
	base = frontend->internal_base;
	if (frontend->external_count > count) {
		count = frontend->external_count;
		base = frontend->external_base;
	}
	for (__u32 i = 0; i < OWNER_SLOTS && i < count; i++) {
		index = base + i;
		slot = bpf_map_lookup_elem(&backend_slots, &index);
		if (!slot)
			return false;
		if (slot->port == port && address_equal(&slot->address, address))
			return true;
	}
	return count > OWNER_SLOTS;
}

/*
 * Does another proxy, by netfilter, lead the datagrams of this client to a backend of @frontend already? Then they go
 * on so until they end, as connections of TCP do (carry_lost): a conversation is not torn from its backend when this
 * node is taken over. One whose backend serves no more begins anew here.
 */
NOINLINE bool owner_is_proxy(struct context *ctx, const struct packet *packet, const struct frontend *frontend)
{
	struct bpf_ct_opts___sluice opts = {.netns_id = BPF_F_CURRENT_NETNS, .l4proto = IPPROTO_UDP};
	struct bpf_sock_tuple tuple = {};
	struct address backend = {};
	struct nf_conn *conn;
	unsigned long status;
	__u32 length;
	__be16 port;

	if (!packet || !frontend || packet->key.proto != IPPROTO_UDP || packet->key.hook != HOOK_INGRESS)
		return false;
	length = owner_tuple(&tuple, &packet->key);
	conn = context_ct_lookup(ctx, &tuple, length, &opts, sizeof(opts));
	if (!conn)
		return false;
	status = conn->status;
	if (address_is_v4(&packet->key.daddr)) {
		address_from_v4(&backend, conn->tuplehash[1].tuple.src.u3.all[0]);
	} else {
		for (int i = 0; i < 4; i++)
			address_set_word(&backend, i, conn->tuplehash[1].tuple.src.u3.all[i]);
	}
	port = conn->tuplehash[1].tuple.src.u.all;
	bpf_ct_release(conn);
	return !opts.dir && status & CONNTRACK_DST_NAT && owner_has_backend(frontend, &backend, port);
}
#else
/* An object that calls functions of the kernel does not load where it has none: so there are two (Makefile). */
INLINE enum owner_conntrack owner_in_conntrack(struct context *ctx, const struct flow_key *key)
{
	return CONNTRACK_NONE;
}

INLINE bool owner_is_open(struct context *ctx, const struct flow_key *key)
{
	return false;
}

INLINE bool owner_is_proxy(struct context *ctx, const struct packet *packet, const struct frontend *frontend)
{
	return false;
}
#endif

/*
 * Is the packet, which is for a frontend, an answer to somebody's own traffic? Of those that nobody noted (foreign.h)
 * sockets know, of what comes in, and nf_conntrack. In TCP what begins a connection is no answer, and nobody's question
 * came from a cluster IP, unless somebody forged it.
 */
NOINLINE bool owner_awaits(struct context *ctx, const struct packet *packet)
{
	if (!packet || packet->key.proto != IPPROTO_UDP || address_is_virtual(&packet->key.daddr))
		return false;
	return (packet->key.hook == HOOK_INGRESS && node_address_flags(&packet->key.daddr) & NODE_ADDRESS_LOCAL &&
		owner_is_socket(ctx, &packet->key, true)) ||
	       owner_in_conntrack(ctx, &packet->key) == CONNTRACK_REPLY;
}
