/*
 * CRC32c (RFC 9260 appendix A) of a packet of which four bytes change. The CRC is linear: the
 * difference of two sums is the sum of the difference, moved along by the bytes that follow. That
 * is a multiplication by x^(8n) modulo the polynomial, so no byte of the packet is read.
 */
#pragma once

#include "common.h"

#define CRC32C_POLYNOMIAL 0x82f63b78

/* x^(2^k) modulo the polynomial, bits reflected: k = 3 is a byte, k = 18 is 32 KiB. */
static const __u32 crc32c_powers[16] = {
	0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7,
	0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc,
};

/* a × b modulo the polynomial. */
NOINLINE __u32 crc32c_multiply(__u32 a, __u32 b)
{
	__u32 product = 0;

	for (int i = 0; i < 32; i++) {
		product ^= b & -(a >> 31);
		a <<= 1;
		b = (b >> 1) ^ (CRC32C_POLYNOMIAL & -(b & 1));
	}
	return product;
}

/*
 * @difference: old ^ new of four bytes, as they lie in memory.
 * @following: bytes of the packet after them, less than 65536.
 * Returns old ^ new of the checksum, as it lies in memory.
 */
GLOBAL __u32 crc32c_difference(__u32 difference, __u32 following)
{
	__u32 crc = difference;

	for (int i = 0; i < 32; i++)
		crc = (crc >> 1) ^ (CRC32C_POLYNOMIAL & -(crc & 1));
	for (int k = 0; k < 16; k++) {
		if (following & (1 << k))
			crc = crc32c_multiply(crc32c_powers[k], crc);
	}
	return crc;
}
