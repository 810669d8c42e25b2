/* Sends a packet out again from a tc hook. */
#pragma once

#include "fib.h"
#include "packet_skb.h"
#include "scratch.h"

/* Marks a packet that this hook sends out, so that the egress program lets it by at once. */
#define TC_INDEX_DONE 0x51

/*
 * Finds where @flow's packets go, before anything is rewritten. A next hop that the flow remembers
 * is used for a second; when it holds no more it is looked up.
 * @key: of the packet as it came.
 * @neighbour: on return, the device whose neighbour subsystem sends this packet; 0: the flow knows all.
 * Returns false when there is no route.
 */
INLINE bool packet_route(struct __sk_buff *skb, const struct flow_key *key, struct flow *flow, __u32 *neighbour)
{
	struct scratch *scratch = scratch_get();

	*neighbour = 0;
	if (likely(nexthop_holds(flow, fib_generation(), clock_now())))
		return true;
	if (!scratch)
		return false;
	nexthop_key(&scratch->routed, flow, key);
	if (!nexthop_refresh(skb, flow, &scratch->routed, &scratch->next))
		return false;
	*neighbour = scratch->next.ifindex;
	return true;
}

/*
 * By the neighbour subsystem, to the next hop that was found: looking again, it would not know of the ports, and might
 * find another one.
 */
NOINLINE int packet_send_to(struct __sk_buff *skb, const struct fib_result *next)
{
	struct bpf_redir_neigh to = {};

	if (!next)
		return TC_ACT_SHOT;
	if (address_is_v4(&next->hop)) {
		to.nh_family = AF_INET;
		to.ipv4_nh = address_word(&next->hop, 3);
	} else {
		to.nh_family = AF_INET6;
		__builtin_memcpy(to.ipv6_nh, &next->hop, sizeof(to.ipv6_nh));
	}
	return bpf_redirect_neigh(next->ifindex, &to, sizeof(to), 0);
}

/*
 * Sends a rewritten packet the way that packet_route found.
 * Returns a TC_ACT verdict.
 */
INLINE int packet_send(struct __sk_buff *skb, const struct flow *flow, __u32 neighbour)
{
	struct ethhdr *eth = (void *)(long)skb->data;
	struct scratch *scratch;

	skb->tc_index = TC_INDEX_DONE;
	if (unlikely(neighbour)) {
		scratch = scratch_get();
		return scratch ? packet_send_to(skb, &scratch->next) : TC_ACT_SHOT;
	}
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	nexthop_write(eth, flow);
	return bpf_redirect(flow->ifindex, 0);
}
