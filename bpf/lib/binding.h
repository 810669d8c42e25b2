/*
 * A flow's packets come in by the device by which they came before. Another one may bring them, when routes change or
 * there are several, but not a pod that forges a client's addresses, nor a host outside that forges a pod's: who may
 * not begin a connection from an address there may not take one over either.
 */
#pragma once

#include "scratch.h"
#include "source.h"

/* Devices are told by the lower half of their indices. */
INLINE __u16 binding_device(struct context *ctx)
{
	return context_ifindex(ctx);
}

/* Nothing comes in for entries of egress. */
INLINE bool binding_holds(struct context *ctx, const struct packet *packet, const struct flow *flow)
{
	return packet->key.hook == HOOK_EGRESS || likely(flow->device == binding_device(ctx));
}

/* Can the packet in the scratch memory, which comes in, be from where it says? */
GLOBAL int binding_is_possible(struct context *ctx)
{
	struct scratch *scratch = scratch_get();

	return scratch && source_of(ctx, &scratch->packet, device_of(context_ifindex(ctx))) != SOURCE_IMPOSSIBLE;
}

/* The packet in the scratch memory uses @flow by another device than the last. Returns false when it is forged. */
INLINE bool binding_renew(struct context *ctx, struct flow *flow)
{
	if (!binding_is_possible(ctx))
		return false;
	flow->device = binding_device(ctx);
	return true;
}
