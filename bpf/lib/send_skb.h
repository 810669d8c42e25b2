/* Sends a packet out again from a tc hook. */
#pragma once

#include "fib.h"
#include "packet_skb.h"

/* Marks a packet that this hook sends out, so that the egress program lets it by at once. */
#define TC_INDEX_DONE 0x51

/*
 * Sends a rewritten packet towards the new destination of @flow, by the next hop that the flow
 * remembers; when that holds no more it is looked up, and this packet goes by the neighbour subsystem.
 * Returns a TC_ACT verdict.
 */
INLINE int packet_send(struct __sk_buff *skb, struct flow *flow)
{
	__u32 now = clock_now(), generation = fib_generation();
	struct fib_result next = {};

	skb->tc_index = TC_INDEX_DONE;
	if (likely(nexthop_holds(flow, generation, now))) {
		struct ethhdr *eth = (void *)(long)skb->data;

		if ((void *)(eth + 1) > (void *)(long)skb->data_end)
			return TC_ACT_SHOT;
		__builtin_memcpy(eth->h_dest, flow->dmac, ETH_ALEN);
		__builtin_memcpy(eth->h_source, flow->smac, ETH_ALEN);
		return bpf_redirect(flow->ifindex, 0);
	}
	if (!fib_lookup(skb, &flow->saddr, &flow->daddr, &next) || next.local)
		return TC_ACT_SHOT;
	if (next.resolved)
		nexthop_remember(flow, &next, generation, now);
	else
		flow->ifindex = 0;
	return bpf_redirect_neigh(next.ifindex, NULL, 0, 0);
}
