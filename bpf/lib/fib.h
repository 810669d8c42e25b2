/* Where a packet goes next, when it is sent out again from the hook. */
#pragma once

#include "checksum.h"
#include "clock.h"
#include "packet.h"

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
NOINLINE bool fib_lookup(struct context *ctx, const struct address *saddr, const struct address *daddr,
			 struct fib_result *result)
{
	struct bpf_fib_lookup params = {.ifindex = context_ifindex(ctx)};
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
	ret = bpf_fib_lookup(ctx, &params, sizeof(params), 0);
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
 * Does the next hop that @flow remembers still hold? Until the agent raises the generation, and for
 * a second: then the packet goes by the neighbour subsystem, which keeps the neighbour entry alive.
 */
INLINE bool nexthop_holds(const struct flow *flow, __u32 generation, __u32 now)
{
	return flow->ifindex && flow->nexthop_generation == generation && !clock_passed(now, flow->nexthop_stamp, 1);
}

INLINE void nexthop_remember(struct flow *flow, const struct fib_result *next, __u32 generation, __u32 now)
{
	__builtin_memcpy(flow->dmac, next->dmac, ETH_ALEN);
	__builtin_memcpy(flow->smac, next->smac, ETH_ALEN);
	flow->nexthop_generation = generation;
	flow->nexthop_stamp = now;
	flow->ifindex = next->ifindex;
}
