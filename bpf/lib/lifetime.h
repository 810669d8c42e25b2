/* Entries of flows, wherever they are, and how long they live without packets. */
#pragma once

#include "address.h"
#include "clock.h"

/* The entry of @key, whichever table has it. */
INLINE struct flow *flow_find(const struct flow_key *key, bool *half_open)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, key);

	*half_open = false;
	if (likely(flow))
		return flow;
	*half_open = true;
	return bpf_map_lookup_elem(&half_open_flows, key);
}

INLINE __u32 flow_idle_seconds(__u8 proto, __u32 flags, bool half_open)
{
	if (proto == IPPROTO_TCP) {
		if (half_open)
			return knobs.tcp_half_open_seconds;
		return flags & FLOW_CLOSING ? knobs.tcp_closing_seconds : knobs.tcp_established_seconds;
	}
	/* UDP, and SCTP, whose heartbeats come every 30 s (RFC 9260 8.3). */
	return half_open ? knobs.udp_seconds : knobs.udp_stream_seconds;
}

INLINE bool flow_expired(const struct flow *flow, __u8 proto, bool half_open)
{
	return clock_passed(clock_now(), flow->last_seen, flow_idle_seconds(proto, flow->flags, half_open));
}

/* The key under which the answer to @flow's rewritten packet is seen by @hook. */
INLINE void flow_answer_key(struct flow_key *key, const struct flow *flow, __u8 proto, __u8 hook)
{
	address_copy(&key->saddr, &flow->daddr);
	address_copy(&key->daddr, &flow->saddr);
	key->sport = flow->dport;
	key->dport = flow->sport;
	key->proto = proto;
	key->hook = hook;
	key->pad[0] = 0;
	key->pad[1] = 0;
}
