/* Ports that make a flow's answers unique, and the source addresses of ours. */
#pragma once

#include "flow.h"
#include "owner.h"

/* Ports that are tried before a connection is given up. */
#define SNAT_TRIES 16
/* Ports that are drawn for each, until one is not reserved. */
#define SNAT_DRAWS 16

/* The address that MASQUERADE would take on the device. Returns false when it has none. */
INLINE bool snat_address(const struct device *device, bool v4, struct address *address)
{
	if (!device)
		return false;
	address_copy(address, v4 ? &device->masquerade4 : &device->masquerade6);
	return !address_is_none(address);
}

/* Has the agent reserved this port? Host byte order. */
INLINE bool snat_port_reserved(__u16 port)
{
	__u32 key = port >> 6;
	const struct port_word *word = bpf_map_lookup_elem(&reserved_ports, &key);

	return word && word->ports >> (port & 63) & 1;
}

/* May source NAT use this port? Host byte order. */
INLINE bool snat_port_allowed(__u16 port)
{
	return port >= 1024 && (port < knobs.node_port_min || port > knobs.node_port_max) && !snat_port_reserved(port);
}

/* A port at random of those that source NAT chooses from, NodePorts left out. Host byte order. */
INLINE __u16 snat_port_random(void)
{
	__u32 first = knobs.node_port_min > knobs.snat_port_min ? knobs.node_port_min : knobs.snat_port_min;
	__u32 last = knobs.node_port_max < knobs.snat_port_max ? knobs.node_port_max : knobs.snat_port_max;
	__u32 excluded = first <= last ? last - first + 1 : 0;
	__u32 range = knobs.snat_port_max - knobs.snat_port_min + 1 - excluded;
	__u32 port = knobs.snat_port_min + (((__u64)bpf_get_prandom_u32() * range) >> 32);

	return excluded && port >= first ? port + excluded : port;
}

/* The same without those that are reserved. Returns 0 when so many are that none was met. */
GLOBAL int snat_port_draw(void)
{
	for (int i = 0; i < SNAT_DRAWS; i++) {
		__u16 port = snat_port_random();

		if (likely(!snat_port_reserved(port)))
			return port;
	}
	return 0;
}

/* Where the answers go whose port is chosen: who else may have their tuple depends on it. */
enum snat_side {
	/* From a backend to its client, by here: connections that the client has opened itself can be in the way. */
	SNAT_PASSING,
	/* From a process of this node to the client: its own connections can be, too. */
	SNAT_OUTWARD,
	/* From a backend to an address of this node: sockets and netfilter's masquerade take ports there. */
	SNAT_INWARD,
};

/* Has somebody else the tuple of the answers with this key? The kernel is asked; flow_claim asks the flows. */
NOINLINE bool snat_taken(struct context *ctx, struct flow_key *key, __u32 side)
{
	struct scratch *scratch = scratch_get();

	if (!key || !scratch)
		return false;
	/* The tuple of a flow that has ended is left behind in nf_conntrack for a while, by our own packets. */
	if (side == SNAT_PASSING)
		return owner_is_open(ctx, key);
	if (side == SNAT_INWARD)
		return owner_is_socket(ctx, key, false) || owner_in_conntrack(ctx, key) != CONNTRACK_NONE;
	/* In UDP a server's socket for this one client may be that of the very flow that is made again. */
	if (key->proto != IPPROTO_TCP)
		return false;
	flow_key_reverse(&scratch->opposite, key, HOOK_INGRESS);
	return owner_is_socket(ctx, &scratch->opposite, true);
}

/* Ports that were tried in vain for a connection to the backend that @key answers for. */
NOINLINE void snat_count(const struct flow_key *key, __u32 collisions, bool exhausted)
{
	struct snat_backend_key backend = {};
	struct snat_backend *counts, fresh = {};

	if (!key)
		return;
	address_copy(&backend.address, &key->saddr);
	backend.port = key->sport;
	backend.proto = key->proto;
	counts = bpf_map_lookup_elem(&snat_backends, &backend);
	if (!counts) {
		bpf_map_update_elem(&snat_backends, &backend, &fresh, BPF_NOEXIST);
		counts = bpf_map_lookup_elem(&snat_backends, &backend);
		if (!counts)
			return;
	}
	__sync_fetch_and_add(&counts->collisions, collisions);
	if (exhausted)
		__sync_fetch_and_add(&counts->exhausted, 1);
}

/* The first try: 0 for the preferred port, when it may be used; 1 for one at random. */
INLINE int snat_first_try(__u32 preferred, __u32 side)
{
	return side == SNAT_INWARD && !snat_port_allowed(bpf_ntohs((__be16)preferred));
}

/*
 * Claims the answer entry scratch->answer[@answer] => scratch->flow, whose destination port may be
 * chosen freely: @preferred first (network byte order), then ports at random. On return the key's
 * dport is the port claimed.
 * @side: enum snat_side.
 * Returns enum claim.
 */
GLOBAL int snat_claim(struct context *ctx, __u32 answer, __u32 preferred, __u32 side)
{
	struct scratch *scratch = scratch_get();
	enum claim claim = CLAIM_TAKEN;
	struct flow_key *key;
	int i;

	if (!scratch)
		return CLAIM_FAILED;
	key = scratch_answer(scratch, answer);
	for (i = snat_first_try(preferred, side); i < SNAT_TRIES; i++) {
		__u16 port = i ? snat_port_draw() : bpf_ntohs((__be16)preferred);

		if (i && !port)
			continue;
		key->dport = bpf_htons(port);
		if (snat_taken(ctx, key, side))
			continue;
		flow_set_deltas_fast(&scratch->flow, key);
		claim = flow_claim(answer);
		if (unlikely(claim == CLAIM_CONTENDED))
			claim = flow_contend(answer, i < SNAT_TRIES / 2	      ? PATIENCE_FULL
						     : i < SNAT_TRIES * 3 / 4 ? PATIENCE_LITTLE
									      : PATIENCE_NONE);
		if (claim != CLAIM_TAKEN)
			break;
	}
	if (unlikely(i)) {
		/* Asked again, not remembered: the verifier would follow the loop once for each answer. */
		i -= snat_first_try(preferred, side);
		if (i)
			snat_count(key, i, claim == CLAIM_TAKEN);
	}
	return claim;
}
