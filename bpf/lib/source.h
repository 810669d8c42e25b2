/*
 * Who sent a packet: the rules of traffic policies and of source NAT depend on it (R-35…R-42). What nobody can have
 * sent from where it came begins nothing.
 */
#pragma once

#include "fib.h"
#include "known.h"
#include "lookup.h"
#include "packet.h"
#include "scratch.h"

enum source {
	/* A pod, as detectLocalMode decides. */
	SOURCE_POD,
	/* This node itself, which sends the packet. */
	SOURCE_HOST,
	/* Everything else. */
	SOURCE_OUTSIDE,
	/* Nobody: such packets do not come in by this device. */
	SOURCE_IMPOSSIBLE,
};

/* RFC 1122 3.2.1.3, RFC 4291 2.5, 2.7: an address that no packet on a wire is from. */
INLINE bool source_is_martian(const struct address *address)
{
	if (address_is_v4(address))
		return address->b[12] == 0 || address->b[12] == 127 || (address->b[12] & 0xf0) == 0xe0 ||
		       address_word(address, 3) == 0xffffffff;
	return address->b[0] == 0xff || (!address_word(address, 0) && !address_word(address, 1) &&
					 !address_word(address, 2) && bpf_ntohl(address_word(address, 3)) <= 1);
}

/* IPv4 in an address of an IPv6 packet (RFC 4291 2.5.5.2): on no wire, but flows would not tell it from IPv4. */
INLINE bool source_is_mixed(const struct packet *packet)
{
	return !packet_is_v4(packet) && (address_is_v4(&packet->key.saddr) || address_is_v4(&packet->key.daddr));
}

/*
 * By which device do packets to the source go, as seen from where it came in? 0: no route leads there. @from: who would
 * send them. By rules for a source, they go another way with the Service's address, which answers do not have while
 * they are routed, than without.
 */
INLINE __u32 source_way_back(struct context *ctx, const struct packet *packet, const struct address *from,
			     bool *unknown)
{
	struct scratch *scratch = scratch_get();
	struct fib_result back = {};
	struct flow_key *key;

	*unknown = false;
	if (!scratch)
		return 0;
	key = &scratch->routed;
	address_copy(&key->saddr, from);
	address_copy(&key->daddr, &packet->key.saddr);
	key->sport = packet->key.dport;
	key->dport = packet->key.sport;
	key->proto = packet->key.proto;
	key->hook = HOOK_INGRESS;
	if (fib_lookup(ctx, key, &back))
		return back.ifindex;
	/* The device does not forward, so the kernel does not say. */
	*unknown = back.unknown;
	return 0;
}

/*
 * By a node device, from the network of the pods. It is a pod's when the way back leads by the same device; where other
 * nodes' pods are reached without an overlay, by any node device: as rp_filter has it in its loose mode, because ways
 * there and back may differ. A pod of this node never sends so.
 */
NOINLINE enum source source_by_node_device(struct context *ctx, const struct packet *packet, const struct device *in)
{
	const struct device *device;
	__u32 ifindex;
	bool unknown;

	if (!packet || !in)
		return SOURCE_OUTSIDE;
	ifindex = source_way_back(ctx, packet, &packet->key.daddr, &unknown);
	if (ifindex && (ifindex == context_ifindex(ctx) || ifindex == in->master))
		return SOURCE_POD;
	device = ifindex ? device_of(ifindex) : NULL;
	/* Of tunnels those too that nothing is attached to, for want of an Ethernet header. */
	if (!device || device->flags & DEVICE_OVERLAY)
		return SOURCE_OUTSIDE;
	if (device->flags & DEVICE_POD)
		return SOURCE_IMPOSSIBLE;
	/* One that a CNI has made, and that leads to pods of this node or of others: who knows? */
	if (!(device->flags & DEVICE_NODE))
		return SOURCE_OUTSIDE;
	return in->flags & DEVICE_OVERLAY ? SOURCE_OUTSIDE : SOURCE_POD;
}

/* fe80::/10: each device has its own, so no route tells whose it is. */
INLINE bool source_is_link_local(const struct address *address)
{
	return address->b[0] == 0xfe && (address->b[1] & 0xc0) == 0x80;
}

/*
 * By a pod's device: does the way back lead to another pod, or away from the node, or nowhere? A device between, a
 * bridge or one that a CNI has made, says nothing.
 */
NOINLINE bool source_is_spoofed(struct context *ctx, const struct packet *packet, const struct device *in)
{
	const struct device *device;
	struct address any;
	__u32 ifindex;
	bool unknown;

	if (!packet || !in || source_is_link_local(&packet->key.saddr))
		return false;
	address_any(&any, &packet->key.saddr);
	ifindex = source_way_back(ctx, packet, &any, &unknown);
	if (!ifindex)
		return !unknown;
	if (ifindex == context_ifindex(ctx) || ifindex == in->master)
		return false;
	device = device_of(ifindex);
	return device && device->flags & (DEVICE_NODE | DEVICE_POD | DEVICE_OVERLAY);
}

/* Is it an address of this node, or one that reaches several hosts? */
INLINE bool source_is_here(const struct address *address)
{
	return address_is_known(known_get(), address) &&
	       node_address_flags(address) & (NODE_ADDRESS_LOCAL | NODE_ADDRESS_BROADCAST);
}

/*
 * For a packet that is for a frontend and has no flow.
 * @in: the device that it came in by; NULL: the node sends it, or the agent has not described the device.
 */
NOINLINE enum source source_of(struct context *ctx, const struct packet *packet, const struct device *in)
{
	struct cidr_key key = {.prefixlen = 128};
	__u32 device = in ? in->flags : 0;
	bool detect, pod = false;

	if (!packet)
		return SOURCE_IMPOSSIBLE;
	detect = packet_is_v4(packet) ? knobs.detect_pods4 : knobs.detect_pods6;
	if (packet->key.hook == HOOK_INGRESS &&
	    (source_is_martian(&packet->key.saddr) || source_is_here(&packet->key.saddr) || source_is_mixed(packet)))
		return SOURCE_IMPOSSIBLE;
	if (in && device & DEVICE_POD && source_is_spoofed(ctx, packet, in))
		return SOURCE_IMPOSSIBLE;
	if (detect) {
		address_copy(&key.address, &packet->key.saddr);
		if (device & DEVICE_LOCAL_PODS)
			return SOURCE_POD;
		pod = bpf_map_lookup_elem(&pod_cidrs, &key);
	}
	/* A pod's network comes first, as in kube-proxy: an address of this node may lie in it. */
	if (packet->key.hook == HOOK_EGRESS)
		return pod ? SOURCE_POD : SOURCE_HOST;
	if (pod)
		return device & DEVICE_NODE ? source_by_node_device(ctx, packet, in) : SOURCE_POD;
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
