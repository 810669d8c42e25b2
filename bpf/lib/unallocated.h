/*
 * Addresses of a ServiceCIDR that no Service has: what is sent there would leave by the default
 * route, so it is dropped where it leaves. There, after netfilter, another proxy has had its
 * turn with the Services that are left to it.
 */
#pragma once

#include "lookup.h"

/*
 * Costs nothing but a look into control while no ServiceCIDR is known. Ask only of packets that
 * begin something.
 */
INLINE bool address_is_unallocated(const struct address *address)
{
	__u32 zero = 0;
	const struct control *settings = bpf_map_lookup_elem(&control, &zero);
	struct cidr_key key = {.prefixlen = 128};

	if (!settings ||
	    !(settings->flags & (address_is_v4(address) ? CONTROL_SERVICE_CIDRS4 : CONTROL_SERVICE_CIDRS6)))
		return false;
	address_copy(&key.address, address);
	return bpf_map_lookup_elem(&service_cidrs, &key) && !service_address(address);
}
