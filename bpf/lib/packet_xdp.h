/*
 * How the XDP program reaches a packet: struct xdp_md, and pointers straight into the buffer. The
 * counterpart of packet_skb.h. What needs more than that is left to tc, untouched.
 */
#pragma once

#include "common.h"

#define context xdp_md
#define context_ct_lookup bpf_xdp_ct_lookup

/* The packet goes on to the stack, where tc meets it. */
#define VERDICT_NEXT XDP_PASS
#define VERDICT_DROP XDP_DROP

/*
 * In assembler, because the compiler takes the fields for numbers of 32 bits and puts them aside as
 * such: then the verifier does not know them for pointers any more.
 */
#define context_pointer(ctx, field)                                                                                    \
	({                                                                                                             \
		void *pointer;                                                                                         \
		asm("%0 = *(u32 *)(%1 + %2)" : "=r"(pointer) : "r"(ctx), "i"(offsetof(struct xdp_md, field)));         \
		pointer;                                                                                               \
	})

INLINE void *context_data(const struct context *ctx)
{
	return context_pointer(ctx, data);
}

INLINE void *context_end(const struct context *ctx)
{
	return context_pointer(ctx, data_end);
}

/* The device that the packet came in by. */
INLINE __u32 context_ifindex(const struct context *ctx)
{
	return ctx->ingress_ifindex;
}

/* ETH_P_*, network byte order; of a packet with a VLAN tag that of the tag, so that it is left alone. */
INLINE __be16 context_protocol(const struct context *ctx)
{
	const struct ethhdr *eth = context_data(ctx);

	return (void *)(eth + 1) <= context_end(ctx) ? eth->h_proto : 0;
}

/* Nobody has summed the packet. */
INLINE void context_sum_changed(struct context *ctx, __u32 delta)
{
}
