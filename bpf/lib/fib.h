/* Where a packet goes next, when it is sent out again from the hook. */
#pragma once

#include "checksum.h"
#include "clock.h"
#include "geneve.h"
#include "lookup.h"
#include "packet.h"

/* The result of a lookup: a device, and its next hop's MAC addresses when they are known. */
struct fib_result {
	__u32 ifindex;
	/* Longest packet that the route takes, in bytes. */
	__u32 mtu;
	bool resolved;
	/* The destination is an address of this node: the packet is delivered, not forwarded. */
	bool local;
	/* The device that the packet came in by does not forward: the kernel told nothing. */
	bool unknown;
	__u8 dmac[ETH_ALEN];
	__u8 smac[ETH_ALEN];
};

INLINE __u32 fib_device_mtu(__u32 ifindex)
{
	const struct device *device = device_of(ifindex);

	return device ? device->mtu : 0;
}

/*
 * Looks up the route of a packet from @saddr to @daddr as if it had come in by @ifindex.
 * Returns false when there is no route.
 */
NOINLINE bool fib_lookup(struct context *ctx, const struct address *saddr, const struct address *daddr,
			 struct fib_result *result)
{
	/* A length that fits everywhere: the kernel puts the MTU of the route in its place (5.12), if it finds a
	 * neighbour. */
	struct bpf_fib_lookup params = {.ifindex = context_ifindex(ctx), .tot_len = 1};
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
	result->mtu = params.tot_len > 1 ? params.tot_len : fib_device_mtu(params.ifindex);
	result->resolved = ret == BPF_FIB_LKUP_RET_SUCCESS;
	result->unknown = ret == BPF_FIB_LKUP_RET_FWD_DISABLED || ret < 0;
	/* The kernel says the same of a destination that no route has. */
	result->local = ret == BPF_FIB_LKUP_RET_NOT_FWDED && node_address_flags(daddr) & NODE_ADDRESS_LOCAL;
	if (ret == BPF_FIB_LKUP_RET_SUCCESS) {
		__builtin_memcpy(result->dmac, params.dmac, ETH_ALEN);
		__builtin_memcpy(result->smac, params.smac, ETH_ALEN);
	}
	return ret == BPF_FIB_LKUP_RET_SUCCESS || ret == BPF_FIB_LKUP_RET_NO_NEIGH || result->local;
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

/* Bytes of the headers that the next hop sees before those of the client's packet. */
INLINE __u32 nexthop_overhead(const struct flow *flow)
{
	bool v4 = address_is_v4(&flow->daddr);

	if (!(flow->flags & FLOW_DSR))
		return 0;
	if (flow->flags & FLOW_GENEVE)
		return v4 ? GENEVE_OVERHEAD4 : GENEVE_OVERHEAD6;
	return v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

/* @flow: one that is sent out again from the hook. */
INLINE void nexthop_remember(struct flow *flow, const struct fib_result *next, __u32 generation, __u32 now)
{
	__u32 mtu = next->mtu > nexthop_overhead(flow) ? next->mtu - nexthop_overhead(flow) : 0;

	flow->mtu = mtu < 0xffff ? mtu : 0xffff;
	if (!next->resolved) {
		flow->ifindex = 0;
		return;
	}
	__builtin_memcpy(flow->dmac, next->dmac, ETH_ALEN);
	__builtin_memcpy(flow->smac, next->smac, ETH_ALEN);
	flow->nexthop_generation = generation;
	flow->nexthop_stamp = now;
	flow->ifindex = next->ifindex;
}

/* This node's own address among its peers, in the family of @like. */
INLINE const struct address *node_own_address(const struct address *like)
{
	return (const struct address *)(address_is_v4(like) ? &knobs.node_address4 : &knobs.node_address6);
}

/* Looks up the next hop of a flow that is sent out again from the hook. Returns false when there is none. */
NOINLINE bool nexthop_refresh(struct context *ctx, struct flow *flow, struct fib_result *next)
{
	bool dsr;

	if (!flow || !next)
		return false;
	dsr = flow->flags & FLOW_DSR;
	if (!fib_lookup(ctx, dsr ? node_own_address(&flow->saddr) : &flow->saddr, dsr ? &flow->saddr : &flow->daddr,
			next) ||
	    next->local)
		return false;
	nexthop_remember(flow, next, fib_generation(), clock_now());
	return true;
}

/* Both MAC addresses at once: they lie in a flow as they do in a frame. */
INLINE void nexthop_write(struct ethhdr *eth, const struct flow *flow)
{
	const __u32 *from = (const __u32 *)flow->dmac;
	__u32 *to = (__u32 *)eth;

	_Static_assert(offsetof(struct flow, smac) == offsetof(struct flow, dmac) + ETH_ALEN, "MAC addresses together");
	_Static_assert(offsetof(struct flow, dmac) % 4 == 0, "MAC addresses aligned");
	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
}
