/*
 * Most packets of a node are for nobody here, and lookups of what is not there cost most: their buckets are in no
 * cache. So one small table says of an address whether a flow or a frontend may have it: a byte for each hash. The
 * agent sets those of service addresses and of the node's own before their rows; a new flow those of the addresses by
 * which its other packets are found. None is ever cleared, so that flows outlive Services: an address that was known
 * once costs lookups from then on, and so does one that has its hash by chance.
 */
#pragma once

#include "address.h"

/* 2^32 divided by the golden ratio, odd. */
#define KNOWN_MULTIPLIER 0x9e3779b1

INLINE __u32 known_slot(const struct address *address)
{
	__u32 words = address_word(address, 0) ^ address_word(address, 1) ^ address_word(address, 2) ^
		      address_word(address, 3);

	return (words * KNOWN_MULTIPLIER) >> 16;
}

INLINE struct known_addresses *known_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&known_addresses, &zero);
}

/* May a flow or a frontend have the address? */
INLINE bool address_is_known(const struct known_addresses *known, const struct address *address)
{
	return !known || known->known[known_slot(address)];
}

/* Called before a flow is written that is found by the address. A store of one byte: nothing is lost in a race. */
INLINE void address_make_known(const struct address *address)
{
	struct known_addresses *known = known_get();

	if (!address_is_known(known, address))
		known->known[known_slot(address)] = 1;
}
