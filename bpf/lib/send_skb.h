/* Sends a packet out again from a tc hook. */
#pragma once

#include "fib.h"
#include "packet_skb.h"

/* Marks a packet that this hook sends out, so that the egress program lets it by at once. */
#define TC_INDEX_DONE 0x51

/*
 * Finds where @flow's packets go, before anything is rewritten. A next hop that the flow remembers
 * is used for a second; when it holds no more it is looked up.
 * @neighbour: on return, the device whose neighbour subsystem sends this packet; 0: the flow knows all.
 * Returns false when there is no route.
 */
INLINE bool packet_route(struct __sk_buff *skb, struct flow *flow, __u32 *neighbour)
{
	struct fib_result next = {};

	*neighbour = 0;
	if (likely(nexthop_holds(flow, fib_generation(), clock_now())))
		return true;
	if (!nexthop_refresh(skb, flow, &next))
		return false;
	*neighbour = next.ifindex;
	return true;
}

/*
 * Sends a rewritten packet the way that packet_route found.
 * Returns a TC_ACT verdict.
 */
INLINE int packet_send(struct __sk_buff *skb, const struct flow *flow, __u32 neighbour)
{
	struct ethhdr *eth = (void *)(long)skb->data;

	skb->tc_index = TC_INDEX_DONE;
	if (unlikely(neighbour))
		return bpf_redirect_neigh(neighbour, NULL, 0, 0);
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	nexthop_write(eth, flow);
	return bpf_redirect(flow->ifindex, 0);
}
