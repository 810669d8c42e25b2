/*
 * Most packets of a node are for nobody here, and lookups of what is not there cost most: their buckets are in no
 * cache. So small tables say what cannot be, a byte each:
 *
 *   known  by hash of an address: a flow or a frontend may have it. The agent sets those of service addresses and of
 *          the node's own before their rows; a new flow those of the addresses by which its other packets are found.
 *   snat   by hash of an address: source NAT took ports towards it, so that others who go there may meet them.
 *   ports  by number: a frontend may have it. The agent sets them before the rows.
 *
 * None is ever cleared, so that flows outlive Services: an address that was known once costs lookups from then on, and
 * so does one that has its hash by chance.
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

/* May source NAT have taken ports towards the address? */
INLINE bool address_has_snat(const struct known_addresses *known, const struct address *address)
{
	return !known || known->snat[known_slot(address)];
}

/* May a frontend have the port? @port: network byte order. */
INLINE bool port_is_known(const struct known_addresses *known, __be16 port)
{
	__u32 number = bpf_ntohs(port);

	/* Before 5.12 the verifier forgets the width of what was swapped. */
	asm volatile("%0 &= 0xffff" : "+r"(number));
	return !known || known->ports[number];
}

/* Called before a flow is written that is found by the address. A store of one byte: nothing is lost in a race. */
INLINE void address_make_known(const struct address *address)
{
	struct known_addresses *known = known_get();

	if (!address_is_known(known, address))
		known->known[known_slot(address)] = 1;
}

/* The same before source NAT takes a port of @ours towards @theirs. */
INLINE void address_make_snat(const struct address *ours, const struct address *theirs)
{
	struct known_addresses *known = known_get();

	if (!address_is_known(known, ours))
		known->known[known_slot(ours)] = 1;
	if (!address_has_snat(known, theirs))
		known->snat[known_slot(theirs)] = 1;
}
