/* Where a packet goes next, when it is sent out again from the hook. */
#pragma once

#include "checksum.h"
#include "clock.h"
#include "packet.h"

/* Marks a packet that this hook sends out, so that the egress program lets it by at once. */
#define TC_INDEX_DONE 0x51

/* The result of a lookup: a device, and its next hop's MAC addresses when they are known. */
struct fib_result {
	__u32 ifindex;
	bool resolved;
	/* The destination is an address of this node: the packet is delivered, not forwarded. */
	bool local;
	__u8 dmac[ETH_ALEN];
	__u8 smac[ETH_ALEN];
};

/*
 * Looks up the route of a packet from @saddr to @daddr as if it had come in by @ifindex.
 * Returns false when there is no route.
 */
NOINLINE bool fib_lookup(struct __sk_buff *skb, const struct address *saddr, const struct address *daddr,
			 struct fib_result *result)
{
	struct bpf_fib_lookup params = {.ifindex = skb->ifindex};
	long ret;

	if (!result)
		return false;
	if (address_is_v4(daddr)) {
		params.family = AF_INET;
		params.ipv4_src = address_word(saddr, 3);
		params.ipv4_dst = address_word(daddr, 3);
	} else {
		params.family = AF_INET6;
		__builtin_memcpy(params.ipv6_src, saddr, 16);
		__builtin_memcpy(params.ipv6_dst, daddr, 16);
	}
	ret = bpf_fib_lookup(skb, &params, sizeof(params), 0);
	result->ifindex = params.ifindex;
	result->resolved = ret == BPF_FIB_LKUP_RET_SUCCESS;
	result->local = ret == BPF_FIB_LKUP_RET_NOT_FWDED;
	if (ret == BPF_FIB_LKUP_RET_SUCCESS) {
		__builtin_memcpy(result->dmac, params.dmac, ETH_ALEN);
		__builtin_memcpy(result->smac, params.smac, ETH_ALEN);
	}
	return ret == BPF_FIB_LKUP_RET_SUCCESS || ret == BPF_FIB_LKUP_RET_NO_NEIGH ||
	       ret == BPF_FIB_LKUP_RET_FRAG_NEEDED || ret == BPF_FIB_LKUP_RET_NOT_FWDED;
}

INLINE __u32 fib_generation(void)
{
	__u32 zero = 0;
	const struct control *settings = bpf_map_lookup_elem(&control, &zero);

	return settings ? settings->nexthop_generation : 0;
}

/*
 * Sends a rewritten packet towards the new destination of @flow. The next hop is kept in the flow
 * and looked up again when the agent has raised the generation, and about once a second; that
 * packet goes by the neighbour subsystem, which keeps the neighbour entry alive.
 * Returns a TC_ACT verdict.
 */
INLINE int fib_send(struct __sk_buff *skb, struct flow *flow)
{
	__u32 now = clock_now(), generation = fib_generation();
	struct fib_result next = {};

	skb->tc_index = TC_INDEX_DONE;
	if (likely(flow->ifindex && flow->nexthop_generation == generation &&
		   !clock_passed(now, flow->nexthop_stamp, 1))) {
		struct ethhdr *eth = (void *)(long)skb->data;

		if ((void *)(eth + 1) > (void *)(long)skb->data_end)
			return TC_ACT_SHOT;
		__builtin_memcpy(eth->h_dest, flow->dmac, ETH_ALEN);
		__builtin_memcpy(eth->h_source, flow->smac, ETH_ALEN);
		return bpf_redirect(flow->ifindex, 0);
	}
	if (!fib_lookup(skb, &flow->saddr, &flow->daddr, &next) || next.local)
		return TC_ACT_SHOT;
	if (next.resolved) {
		__builtin_memcpy(flow->dmac, next.dmac, ETH_ALEN);
		__builtin_memcpy(flow->smac, next.smac, ETH_ALEN);
		flow->nexthop_generation = generation;
		flow->nexthop_stamp = now;
		flow->ifindex = next.ifindex;
	} else {
		flow->ifindex = 0;
	}
	return bpf_redirect_neigh(next.ifindex, NULL, 0, 0);
}
