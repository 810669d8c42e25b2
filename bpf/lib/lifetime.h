/* Entries of flows, wherever they are, and how long they live without packets. */
#pragma once

#include "address.h"
#include "clock.h"
#include "flow_table.h"
#include "half_open.h"

/* A connection that was reset is kept as long as nf_conntrack keeps it in CLOSE; its port only as long as this. */
#define TCP_RESET_SECONDS 10
#define TCP_RESET_PORT_SECONDS 1

/* Is this the entry that a client's own packet meets first, at this hook? */
INLINE bool flow_is_first_stage(const struct flow *flow, __u8 hook)
{
	return !(flow->flags & FLOW_REPLY) && (hook == HOOK_INGRESS || flow->flags & FLOW_OUTPUT);
}

/*
 * The entry of @key, whichever table has it. One that is on its way from the one to the other may be missed in both: it
 * is in the other by then.
 */
INLINE struct flow *flow_find(const struct flow_key *key, bool *half_open)
{
	struct flow *flow = established_find(key);

	*half_open = false;
	if (likely(flow))
		return flow;
	flow = half_open_find(key);
	*half_open = flow != NULL;
	return flow ? flow : established_find(key);
}

/* @closing: enum flow_closing. */
INLINE __u32 flow_idle_seconds(__u8 proto, __u8 closing, bool half_open)
{
	if (proto == IPPROTO_TCP) {
		if (closing == FLOW_CLOSING_RST)
			return TCP_RESET_SECONDS;
		if (half_open)
			return knobs.tcp_half_open_seconds;
		return closing ? knobs.tcp_closing_seconds : knobs.tcp_established_seconds;
	}
	/* UDP, and SCTP, whose heartbeats come every 30 s (RFC 9260 8.3). */
	return half_open ? knobs.udp_seconds : knobs.udp_stream_seconds;
}

INLINE bool flow_expired(const struct flow *flow, __u8 proto, bool half_open)
{
	return clock_passed(clock_now(), flow->last_seen, flow_idle_seconds(proto, flow->closing, half_open));
}

/* The key of an answer to packets of @key, where @hook sees it. */
INLINE void flow_key_reverse(struct flow_key *answer, const struct flow_key *key, __u8 hook)
{
	address_copy(&answer->saddr, &key->daddr);
	address_copy(&answer->daddr, &key->saddr);
	answer->sport = key->dport;
	answer->dport = key->sport;
	answer->proto = key->proto;
	answer->hook = hook;
	answer->pad[0] = 0;
	answer->pad[1] = 0;
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

/* Where the packets of the other direction meet their entry: flow.h draws them. @hook: of this entry's key. */
INLINE __u8 flow_opposite_hook(const struct flow *flow, __u8 hook)
{
	if (flow->flags & FLOW_REPLY)
		return flow->flags & FLOW_STAGED ? HOOK_EGRESS : HOOK_INGRESS;
	if (flow->flags & (FLOW_REDIRECT | FLOW_OUTPUT) || hook == HOOK_EGRESS)
		return HOOK_INGRESS;
	return HOOK_EGRESS;
}
