/* The frontend of a packet. */
#pragma once

#include "bound.h"
#include "packet.h"

/* Is the destination an address of this node, and does a socket own it? */
NOINLINE bool packet_is_owned(struct context *ctx, const struct flow_key *packet)
{
	if (!ctx || !packet)
		return false;
	if (packet->proto != IPPROTO_TCP && packet->proto != IPPROTO_UDP)
		return false;
	return node_address_flags(&packet->daddr) & NODE_ADDRESS_LOCAL &&
	       bound_here(ctx, &packet->daddr, packet->dport, packet->proto);
}

/*
 * The frontend that a packet is for. A cluster IP that a device of the node has, and a socket of the node is bound
 * to, is the socket's, as behind NOTRACK with kube-proxy (NodeLocal DNSCache); any other frontend comes first.
 * @refuse: set when the address is a cluster IP without this port.
 */
INLINE const struct frontend *frontend_of_packet(struct context *ctx, const struct flow_key *packet, bool *refuse)
{
	struct frontend_key key = {.port = packet->dport, .proto = packet->proto};
	const struct frontend *frontend;
	const struct mark *mark;
	__u32 flags;

	*refuse = false;
	address_copy(&key.address, &packet->daddr);
	frontend = bpf_map_lookup_elem(&frontends, &key);
	/* No packet dials a NodePort's own row. */
	if (frontend && likely(!address_is_any(&key.address))) {
		if (frontend->flags & FRONTEND_CLUSTER_IP && unlikely(packet_is_owned(ctx, packet)))
			return NULL;
		return frontend;
	}
	mark = service_address(&packet->daddr);
	flags = node_address_flags(&packet->daddr);
	*refuse = mark && mark->flags & SERVICE_ADDRESS_CLUSTER_IP &&
		  !(flags & NODE_ADDRESS_LOCAL && packet_is_owned(ctx, packet));
	if (!(flags & NODE_ADDRESS_NODE_PORT))
		return NULL;
	return frontend_of_node_port(&packet->daddr, packet->dport, packet->proto);
}
