/*
 * Walks the flow tables, counts what lives and removes what does not: flows whose time is over
 * and datagram flows of backends that serve no more. In the kernel, an entry
 * is removed in the moment that it is judged: a packet that has just renewed it keeps it.
 */
#include "lib/common.h"
#include "lib/flow_table.h"
#include "lib/half_open.h"
#include "lib/lifetime.h"
#include "lib/select.h"
#include "lib/signals.h"

/* What a piece of a walk found: entries of each kind, so many bits up. */
#define SWEPT_REMOVED4 10
#define SWEPT_REMOVED6 20
/* Places a run: packets wait for it on this CPU, and each kind of entry has its bits in the result. */
#define SWEEP_PLACES 512
_Static_assert(SWEEP_PLACES < 1 << SWEPT_REMOVED4, "counts fit their bits");

/* Has the backend of a datagram's flow gone? Connections outlive it. */
INLINE bool sweep_stale(const struct flow_key *key, const struct flow *flow)
{
	return key->proto != IPPROTO_TCP && key->proto != IPPROTO_SCTP &&
	       !backend_serves(flow->backend_id, flow->backend_generation);
}

/* Both directions of a connection are in the same table: they are promoted together. */
NOINLINE bool sweep_lives(const struct flow_key *key, const struct flow *flow, bool half_open)
{
	const struct flow *opposite;
	struct flow_key answer;

	if (sweep_stale(key, flow))
		return false;
	if (!flow_expired(flow, key->proto, half_open))
		return true;
	flow_answer_key(&answer, flow, key->proto, flow_opposite_hook(flow, key->hook));
	opposite = half_open ? half_open_find(&answer) : established_find(&answer);
	return opposite && !flow_expired(opposite, key->proto, half_open);
}

/* A flow of a table. Returns what a walk adds up. */
INLINE int sweep_row(const struct flow_row *row, bool half_open)
{
	struct flow_key key = row->key;
	__u32 failed = 0;

	/* A SYN that was never answered, or was by a reset; datagrams need no answer, and a foreign flow is no
	 * Service's. */
	if (half_open && key.proto != IPPROTO_UDP && flow_is_first_stage(&row->flow, key.hook) &&
	    !(row->flow.flags & FLOW_FOREIGN))
		failed = row->flow.service_port_id;
	if (sweep_lives(&key, &row->flow, half_open))
		return 1;
	if (!(half_open ? half_open_remove(&key) : established_remove(&key)))
		return 0;
	signal_count(failed, SIGNAL_FAILED);
	return address_is_v4(&key.daddr) ? 1 << SWEPT_REMOVED4 : 1 << SWEPT_REMOVED6;
}

GLOBAL int sweep_established_place(__u32 index, __u32 place)
{
	const struct flow_bucket *bucket = established_bucket(index);
	const struct flow_places *places = established_places(index);

	if (!bucket || !places || place >= FLOW_PLACES || !((const __u16 *)bucket->tags)[place])
		return 0;
	return sweep_row(&places->rows[place], false);
}

GLOBAL int sweep_half_open_place(__u32 index, __u32 place)
{
	const struct half_open_bucket *bucket = bpf_map_lookup_elem(&half_open_buckets, &index);
	const struct half_open_places *places = bpf_map_lookup_elem(&half_open_flows, &index);

	if (!bucket || !places || place >= HALF_OPEN_PLACES || !((const __u16 *)bucket->tags)[place])
		return 0;
	return sweep_row(&places->rows[place], true);
}

/*
 * Buckets of a table from skb->mark on: run as often as there are such pieces, on any packet. A kernel runs no other
 * kind of program at will that may take a bucket's lock (programs for a system call: 6.7).
 */
INLINE int sweep(const struct __sk_buff *skb, bool half_open)
{
	const __u32 places = half_open ? HALF_OPEN_PLACES : FLOW_PLACES;
	__u32 first = skb->mark, swept = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < SWEEP_PLACES; i++)
		swept += half_open ? sweep_half_open_place(first + i / places, i % places)
				   : sweep_established_place(first + i / places, i % places);
	return swept;
}

SEC("tc")
int sweep_flows(struct __sk_buff *skb)
{
	return sweep(skb, false);
}

SEC("tc")
int sweep_half_open(struct __sk_buff *skb)
{
	return sweep(skb, true);
}

char LICENSE[] SEC("license") = "GPL";
