/*
 * How the tc programs reach a packet: struct __sk_buff. An object includes this header or
 * packet_xdp.h before the others, which know a packet's context as `struct context`.
 */
#pragma once

#include "common.h"

#define context __sk_buff
#define context_ct_lookup bpf_skb_ct_lookup

/* The next program, or the stack, goes on with the packet. */
#define VERDICT_NEXT TC_ACT_UNSPEC
#define VERDICT_DROP TC_ACT_SHOT

INLINE void *context_data(const struct context *ctx)
{
	return (void *)(long)ctx->data;
}

INLINE void *context_end(const struct context *ctx)
{
	return (void *)(long)ctx->data_end;
}

/* The device that the packet came in by, or leaves by. */
INLINE __u32 context_ifindex(const struct context *ctx)
{
	return ctx->ifindex;
}

/*
 * ETH_P_*, network byte order; 0 for a packet with a VLAN tag, which stands beside it: it is left alone here,
 * as in XDP, and met on the VLAN device, without the tag.
 */
INLINE __be16 context_protocol(const struct context *ctx)
{
	return likely(!ctx->vlan_present) ? ctx->protocol : 0;
}

/* Makes the first @length bytes of the packet readable by pointer. */
INLINE bool packet_pull(struct context *ctx, __u32 length)
{
	if (likely(context_data(ctx) + length <= context_end(ctx)))
		return true;
	return bpf_skb_pull_data(ctx, length) == 0;
}

/* Copies @length bytes at @offset. Returns false when the packet is shorter. */
INLINE bool packet_load(struct context *ctx, __u32 offset, void *to, __u32 length)
{
	return bpf_skb_load_bytes(ctx, offset, to, length) == 0;
}

/* The sum of all bytes from the network header on changed by @delta: of use when the device has made it. */
INLINE void context_sum_changed(struct context *ctx, __u32 delta)
{
	if (delta)
		bpf_csum_update(ctx, delta);
}
