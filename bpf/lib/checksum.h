/* One's complement sums (RFC 1071, RFC 1624). */
#pragma once

#include "address.h"

INLINE __u32 checksum_fold32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return sum;
}

INLINE __u16 checksum_fold16(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

INLINE __u64 checksum_address(const struct address *address)
{
	return (__u64)address_word(address, 0) + address_word(address, 1) + address_word(address, 2) +
	       address_word(address, 3);
}

INLINE __u64 checksum_address_inverted(const struct address *address)
{
	return (__u64)(__u32)~address_word(address, 0) + (__u32)~address_word(address, 1) +
	       (__u32)~address_word(address, 2) + (__u32)~address_word(address, 3);
}

/*
 * new - old of both addresses, folded; the mapping prefix of IPv4 cancels out. One address after the
 * other: all sixteen words at once would lie on the stack, of which the deepest call has little left.
 */
INLINE __u16 checksum_address_delta(const struct address *old_s, const struct address *old_d,
				    const struct address *new_s, const struct address *new_d)
{
	__u64 sum = checksum_address_inverted(old_s);

	barrier_var(sum);
	sum += checksum_address_inverted(old_d);
	barrier_var(sum);
	sum += checksum_address(new_s);
	barrier_var(sum);
	return checksum_fold16(checksum_fold32(sum + checksum_address(new_d)));
}

/* new - old of both ports, folded. */
INLINE __u16 checksum_port_delta(__be16 old_s, __be16 old_d, __be16 new_s, __be16 new_d)
{
	return checksum_fold16((__u32)(__u16)~old_s + (__u16)~old_d + new_s + new_d);
}

/* The checksum @check after the summed bytes changed by @delta, a sum of few words of 16 bits. */
INLINE __u16 checksum_apply_folded(__u16 check, __u32 delta)
{
	return ~checksum_fold16((__u16)~check + delta);
}

/* The same for a sum of words of 32 bits. */
INLINE __u16 checksum_apply(__u16 check, __u32 delta)
{
	return ~checksum_fold16(checksum_fold32((__u64)(__u16)~check + delta));
}
