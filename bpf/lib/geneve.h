/*
 * Geneve (RFC 8926) as direct server return uses it: no Ethernet header inside, and one option that
 * says what the client dialled, because the packet inside is already for the backend.
 */
#pragma once

#include "common.h"

/* Of the experimental range (RFC 8926 7); the type has the bit of options that must be understood. */
#define GENEVE_CLASS 0xff51
#define GENEVE_TYPE_FRONTEND 0x81
/* geneve_header.flags: an option must be understood. */
#define GENEVE_CRITICAL 0x40

struct geneve_header {
	/* Version 0; length of the options in words. */
	__u8 words;
	__u8 flags;
	/* ETH_P_IP or ETH_P_IPV6. */
	__be16 protocol;
	/* 24 bits, and eight of zero. */
	__be32 vni;
	/* The option's header: class, type, length of its data in words. */
	__be16 class;
	__u8 type;
	__u8 length;
};

struct geneve_frontend4 {
	__be32 address;
	__be16 port;
	__u16 pad;
};

struct geneve_frontend6 {
	struct address address;
	__be16 port;
	__u16 pad;
};

/* Words of the option with its header. */
#define GENEVE_WORDS4 (1 + sizeof(struct geneve_frontend4) / 4)
#define GENEVE_WORDS6 (1 + sizeof(struct geneve_frontend6) / 4)

struct geneve_packet4 {
	struct iphdr ip;
	struct udphdr udp;
	struct geneve_header geneve;
	struct geneve_frontend4 frontend;
};

struct geneve_packet6 {
	struct ipv6hdr ip;
	struct udphdr udp;
	struct geneve_header geneve;
	struct geneve_frontend6 frontend;
};

#define GENEVE_OVERHEAD4 sizeof(struct geneve_packet4)
#define GENEVE_OVERHEAD6 sizeof(struct geneve_packet6)
_Static_assert(GENEVE_OVERHEAD4 == 48 && GENEVE_OVERHEAD6 == 80, "no padding");

INLINE void geneve_set(struct geneve_header *header, bool v4)
{
	header->words = v4 ? GENEVE_WORDS4 : GENEVE_WORDS6;
	header->flags = GENEVE_CRITICAL;
	header->protocol = bpf_htons(v4 ? ETH_P_IP : ETH_P_IPV6);
	header->vni = bpf_htonl(knobs.geneve_vni << 8);
	header->class = bpf_htons(GENEVE_CLASS);
	header->type = GENEVE_TYPE_FRONTEND;
	header->length = (v4 ? GENEVE_WORDS4 : GENEVE_WORDS6) - 1;
}

/* Is it one of ours, in the family of the outer header? Whatever its network is. */
INLINE bool geneve_is_ours(const struct geneve_header *header, bool v4)
{
	return header->words == (v4 ? GENEVE_WORDS4 : GENEVE_WORDS6) &&
	       header->protocol == bpf_htons(v4 ? ETH_P_IP : ETH_P_IPV6) && header->class == bpf_htons(GENEVE_CLASS) &&
	       header->type == GENEVE_TYPE_FRONTEND && header->length == (v4 ? GENEVE_WORDS4 : GENEVE_WORDS6) - 1;
}
