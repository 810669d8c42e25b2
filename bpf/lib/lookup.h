/* From what a client dials to the frontend that answers there. */
#pragma once

#include "address.h"

/* NULL: the agent has not described it. */
INLINE const struct device *device_of(__u32 ifindex)
{
	struct device_key key = {.ifindex = ifindex};

	return bpf_map_lookup_elem(&devices, &key);
}

/* Are processes on @address those of this node, and do NodePorts answer there? enum node_address_flags. */
INLINE __u32 node_address_flags(const struct address *address)
{
	struct node_address_key key;
	const struct mark *mark;

	address_copy(&key.address, address);
	mark = bpf_map_lookup_elem(&node_addresses, &key);
	return mark ? mark->flags : 0;
}

/* The NodePort frontend of a port, in the family of @like. */
INLINE const struct frontend *frontend_of_node_port(const struct address *like, __be16 port, __u8 proto)
{
	struct frontend_key key = {.port = port, .proto = proto};

	address_any(&key.address, like);
	return bpf_map_lookup_elem(&frontends, &key);
}

/*
 * @any_address: look for a NodePort whatever the address is (127.0.0.0/8 in the socket hook).
 * Returns NULL when nothing answers on this address, port and protocol.
 */
INLINE const struct frontend *frontend_lookup(const struct address *address, __be16 port, __u8 proto, bool any_address)
{
	struct frontend_key key = {.port = port, .proto = proto};
	const struct frontend *frontend;

	address_copy(&key.address, address);
	frontend = bpf_map_lookup_elem(&frontends, &key);
	if (frontend)
		return frontend;
	if (!any_address && !(node_address_flags(address) & NODE_ADDRESS_NODE_PORT))
		return NULL;
	return frontend_of_node_port(address, port, proto);
}

/* enum service_address_flags of an address; NULL when no frontend has it. */
INLINE const struct mark *service_address(const struct address *address)
{
	struct service_address_key key;

	address_copy(&key.address, address);
	return bpf_map_lookup_elem(&service_addresses, &key);
}

/* Is it a cluster IP that no device of this node has? Then nobody speaks from it for himself. */
INLINE bool address_is_virtual(const struct address *address)
{
	const struct mark *mark = service_address(address);

	return mark && mark->flags & SERVICE_ADDRESS_CLUSTER_IP && !(node_address_flags(address) & NODE_ADDRESS_LOCAL);
}

/* Is everything that begins left to another proxy, before it was taken over or after it was handed back? */
INLINE bool standing_by(void)
{
	__u32 zero = 0;
	const struct control *settings = bpf_map_lookup_elem(&control, &zero);

	return settings && settings->flags & CONTROL_STANDBY;
}
