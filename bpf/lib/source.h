/* Who sent a packet: the rules of traffic policies and of source NAT depend on it (R-35…R-42). */
#pragma once

#include "known.h"
#include "lookup.h"
#include "packet.h"

enum source {
	/* A pod, as detectLocalMode decides. */
	SOURCE_POD,
	/* This node itself: it sends the packet, or the source is one of its addresses. */
	SOURCE_HOST,
	/* Everything else. */
	SOURCE_OUTSIDE,
};

/*
 * A pod's network comes first, as in kube-proxy: an address of this node may lie in it.
 * @device: flags of the device that the packet came in by; 0 at egress.
 */
INLINE enum source source_of(const struct packet *packet, __u32 device)
{
	bool detect = packet_is_v4(packet) ? knobs.detect_pods4 : knobs.detect_pods6;
	struct cidr_key key = {.prefixlen = 128};

	if (detect) {
		address_copy(&key.address, &packet->key.saddr);
		if (device & DEVICE_LOCAL_PODS || bpf_map_lookup_elem(&pod_cidrs, &key))
			return SOURCE_POD;
	}
	if (packet->key.hook == HOOK_EGRESS || (address_is_known(known_get(), &packet->key.saddr) &&
						node_address_flags(&packet->key.saddr) & NODE_ADDRESS_LOCAL))
		return SOURCE_HOST;
	return !detect && device & DEVICE_POD ? SOURCE_POD : SOURCE_OUTSIDE;
}

/* Is the source translated? (R-35, R-37…R-39) */
INLINE bool source_is_translated(enum source source, __u32 frontend_flags)
{
	switch (source) {
	case SOURCE_POD:
		return frontend_flags & FRONTEND_SNAT_POD;
	case SOURCE_HOST:
		return frontend_flags & FRONTEND_SNAT_HOST;
	default:
		return frontend_flags & FRONTEND_SNAT_OUTSIDE;
	}
}

NOINLINE bool source_is_in_ranges(const struct packet *packet, const struct frontend *frontend)
{
	struct source_range_key key = {
		.prefixlen = 32 + 128,
		.service_port_id = bpf_htonl(frontend->service_port_id),
	};

	address_copy(&key.address, &packet->key.saddr);
	if (bpf_map_lookup_elem(&source_ranges, &key))
		return true;
	/* The address is bound on the node and loops back. */
	return (frontend->flags & FRONTEND_HOST_ALLOWED) && address_equal(&packet->key.saddr, &packet->key.daddr);
}

/* loadBalancerSourceRanges (R-60…R-64). */
INLINE bool source_is_allowed(const struct packet *packet, const struct frontend *frontend)
{
	return !(frontend->flags & FRONTEND_SOURCE_RANGES) || source_is_in_ranges(packet, frontend);
}
