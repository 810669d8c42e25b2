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
	/* Address of the next hop; the destination itself when it is on the network of the device. */
	struct address hop;
};

INLINE __u32 fib_device_mtu(__u32 ifindex)
{
	const struct device *device = device_of(ifindex);

	return device ? device->mtu : 0;
}

/* The index of lo, by which the kernel looks for the way of what the node itself sends. */
#define FIB_LOOPBACK 1
/* Traffic class and flow label in the first word of an IPv6 header. */
#define FIB_FLOWINFO bpf_htonl(0x0fffffff)

/* What the kernel looks at beside addresses and ports: the TOS, or traffic class and flow label. */
INLINE void fib_set_class(struct context *ctx, struct bpf_fib_lookup *params)
{
	const __be32 *word = context_data(ctx) + L3_OFFSET;

	if ((void *)(word + 1) > context_end(ctx))
		return;
	if (params->family == AF_INET)
		params->tos = ((const __u8 *)word)[1];
	else
		params->flowinfo = *word & FIB_FLOWINFO;
}

/*
 * Looks up the route of the packet with the addresses and ports of @key, as the kernel would for this one: so rules for
 * ports and classes count, connections spread over several next hops, and each of them stays with its own. What the
 * node sends (key->hook) is looked for as its own, by any device: it may leave by another one than it did. (That is why
 * not by BPF_FIB_LOOKUP_OUTPUT, which asks for a way out by a certain one.) Returns false when there is no route.
 */
NOINLINE bool fib_lookup(struct context *ctx, const struct flow_key *key, struct fib_result *result)
{
	/* A length that fits everywhere: the kernel puts the MTU of the route in its place (5.12), if it finds a
	 * neighbour. */
	struct bpf_fib_lookup params = {.ifindex = context_ifindex(ctx), .tot_len = 1};
	long ret;

	if (!key || !result)
		return false;
	if (address_is_v4(&key->daddr)) {
		params.family = AF_INET;
		params.ipv4_src = address_word(&key->saddr, 3);
		params.ipv4_dst = address_word(&key->daddr, 3);
	} else {
		params.family = AF_INET6;
		__builtin_memcpy(params.ipv6_src, &key->saddr, 16);
		__builtin_memcpy(params.ipv6_dst, &key->daddr, 16);
	}
	params.l4_protocol = key->proto;
	params.sport = key->sport;
	params.dport = key->dport;
	fib_set_class(ctx, &params);
	ret = BPF_FIB_LKUP_RET_FWD_DISABLED;
	if (key->hook == HOOK_EGRESS) {
		params.ifindex = FIB_LOOPBACK;
		ret = bpf_fib_lookup(ctx, &params, sizeof(params), 0);
		/* Where lo does not forward, as the device by which the packet would leave. */
		if (ret == BPF_FIB_LKUP_RET_FWD_DISABLED)
			params.ifindex = context_ifindex(ctx);
	}
	if (ret == BPF_FIB_LKUP_RET_FWD_DISABLED)
		ret = bpf_fib_lookup(ctx, &params, sizeof(params), 0);
	result->ifindex = params.ifindex;
	result->mtu = params.tot_len > 1 ? params.tot_len : fib_device_mtu(params.ifindex);
	result->resolved = ret == BPF_FIB_LKUP_RET_SUCCESS;
	result->unknown = ret == BPF_FIB_LKUP_RET_FWD_DISABLED || ret < 0;
	/* The kernel says the same of a destination that no route has. */
	result->local = ret == BPF_FIB_LKUP_RET_NOT_FWDED && node_address_flags(&key->daddr) & NODE_ADDRESS_LOCAL;
	if (ret == BPF_FIB_LKUP_RET_SUCCESS) {
		__builtin_memcpy(result->dmac, params.dmac, ETH_ALEN);
		__builtin_memcpy(result->smac, params.smac, ETH_ALEN);
	}
	/* The kernel puts the next hop in place of the destination. */
	if (params.family == AF_INET)
		address_from_v4(&result->hop, params.ipv4_dst);
	else
		__builtin_memcpy(&result->hop, params.ipv6_dst, sizeof(result->hop));
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
	const volatile struct address *own = address_is_v4(like) ? &knobs.node_address4 : &knobs.node_address6;

	/* Else the compiler, which knows what is in knobs before they are set, takes that for the address. */
	barrier_var(own);
	return (const struct address *)own;
}

/* Differs from connection to connection, for routers with several ways. */
INLINE __be16 encap_source_port(const struct flow_key *key)
{
	__u32 client = address_word(&key->saddr, 3);
	__u16 hash = client ^ client >> 16 ^ key->sport;

	return bpf_htons(0xc000 | (hash & 0x3fff));
}

/*
 * The packet for which the way of @flow's packets is looked up. Their source is the one that they came with: so it is
 * when the flow begins, as in the kernel, where source NAT follows routing.
 * @key: of the packet as it came.
 */
INLINE void nexthop_key(struct flow_key *routed, const struct flow *flow, const struct flow_key *key)
{
	*routed = *key;
	if (!(flow->flags & FLOW_DSR)) {
		address_copy(&routed->daddr, &flow->daddr);
		routed->dport = flow->dport;
		return;
	}
	address_copy(&routed->saddr, node_own_address(&flow->saddr));
	address_copy(&routed->daddr, &flow->saddr);
	if (flow->flags & FLOW_GENEVE) {
		routed->proto = IPPROTO_UDP;
		routed->sport = encap_source_port(key);
		routed->dport = knobs.geneve_port;
		return;
	}
	routed->proto = address_is_v4(&flow->saddr) ? IPPROTO_IPIP : IPPROTO_IPV6;
	routed->sport = 0;
	routed->dport = 0;
}

/*
 * Looks up the next hop of a flow that is sent out again from the hook. @routed: of nexthop_key.
 * Returns false when there is none.
 */
NOINLINE bool nexthop_refresh(struct context *ctx, struct flow *flow, const struct flow_key *routed,
			      struct fib_result *next)
{
	if (!flow || !next || !fib_lookup(ctx, routed, next) || next->local)
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
