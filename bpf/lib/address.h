/* Addresses of both families in one form: 16 bytes, IPv4 mapped as ::ffff:a.b.c.d. */
#pragma once

#include "common.h"

/* By way of the struct, whose alignment the compiler knows: by way of its bytes it would load bytes. */
INLINE __u32 address_word(const struct address *address, int i)
{
	return ((const __u32 *)address)[i];
}

INLINE void address_set_word(struct address *address, int i, __u32 word)
{
	((__u32 *)address)[i] = word;
}

/* @v4: network byte order. */
INLINE void address_from_v4(struct address *address, __be32 v4)
{
	address_set_word(address, 0, 0);
	address_set_word(address, 1, 0);
	address_set_word(address, 2, bpf_htonl(0xffff));
	address_set_word(address, 3, v4);
}

INLINE void address_copy(struct address *to, const struct address *from)
{
	address_set_word(to, 0, address_word(from, 0));
	address_set_word(to, 1, address_word(from, 1));
	address_set_word(to, 2, address_word(from, 2));
	address_set_word(to, 3, address_word(from, 3));
}

/* The same where both are known to lie at multiples of eight bytes, or in a packet: in half as many steps. */
INLINE void address_copy_wide(void *to, const void *from)
{
	((__u64 *)to)[0] = ((const __u64 *)from)[0];
	((__u64 *)to)[1] = ((const __u64 *)from)[1];
}

INLINE bool address_equal(const struct address *a, const struct address *b)
{
	return address_word(a, 3) == address_word(b, 3) && address_word(a, 2) == address_word(b, 2) &&
	       address_word(a, 1) == address_word(b, 1) && address_word(a, 0) == address_word(b, 0);
}

INLINE bool address_is_v4(const struct address *address)
{
	return address_word(address, 0) == 0 && address_word(address, 1) == 0 &&
	       address_word(address, 2) == bpf_htonl(0xffff);
}

/* The unspecified address of the family of @like: the address of a NodePort frontend. */
INLINE void address_any(struct address *address, const struct address *like)
{
	address_set_word(address, 0, 0);
	address_set_word(address, 1, 0);
	address_set_word(address, 2, address_is_v4(like) ? bpf_htonl(0xffff) : 0);
	address_set_word(address, 3, 0);
}

/* Of either family. */
INLINE bool address_is_any(const struct address *address)
{
	return address_word(address, 3) == 0 && address_word(address, 0) == 0 && address_word(address, 1) == 0 &&
	       (address_word(address, 2) == 0 || address_word(address, 2) == bpf_htonl(0xffff));
}

/* :: stands for "no address" in device.masquerade4 and masquerade6. */
INLINE bool address_is_none(const struct address *address)
{
	return (address_word(address, 0) | address_word(address, 1) | address_word(address, 2) |
		address_word(address, 3)) == 0;
}
