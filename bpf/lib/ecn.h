/* Explicit congestion notification of packets inside packets (RFC 6040): what routers said outside counts inside. */
#pragma once

#include "packet_skb.h"
#include "checksum.h"
#include "packet.h"

/* RFC 3168 5: the two bits; 0: the transport does not know of them. */
#define ECN_MASK 3
#define ECN_ECT1 1
#define ECN_ECT0 2
#define ECN_CE 3

/* The first two bytes of a network header, which have the TOS or traffic class: a 16 bit word in network byte order. */
INLINE int ecn_load(struct __sk_buff *skb, __be16 *word)
{
	return bpf_skb_load_bytes(skb, L3_OFFSET, word, sizeof(*word));
}

/* @word: of ecn_load. */
INLINE __u8 ecn_of(__be16 word, bool v4)
{
	return (v4 ? bpf_ntohs(word) : bpf_ntohs(word) >> 4) & ECN_MASK;
}

/* RFC 6040 4.2, figure 4: what becomes of @inner; negative: the packet has to be dropped. */
INLINE int ecn_combine(__u8 outer, __u8 inner)
{
	if (outer == ECN_CE)
		return inner ? ECN_CE : -1;
	return outer == ECN_ECT1 && inner == ECN_ECT0 ? ECN_ECT1 : inner;
}

/*
 * The packet that was taken out of another one takes over what that one's header said.
 * @outer: that header's bits. Returns 0, or a negative error: the packet has to be dropped.
 */
NOINLINE int ecn_take_over(struct __sk_buff *skb, __u32 outer, bool v4)
{
	__be16 before, after;
	__u16 check, mask;
	int bits;

	if (ecn_load(skb, &before))
		return -1;
	bits = ecn_combine(outer, ecn_of(before, v4));
	if (bits < 0)
		return -1;
	mask = v4 ? ECN_MASK : ECN_MASK << 4;
	after = (before & ~bpf_htons(mask)) | bpf_htons(v4 ? bits : bits << 4);
	if (after == before)
		return 0;
	if (bpf_skb_store_bytes(skb, L3_OFFSET, &after, sizeof(after), BPF_F_RECOMPUTE_CSUM))
		return -1;
	if (!v4)
		return 0;
	if (bpf_skb_load_bytes(skb, L3_OFFSET + offsetof(struct iphdr, check), &check, sizeof(check)))
		return -1;
	check = checksum_apply_folded(check, (__u32)(__u16)~before + after);
	return bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct iphdr, check), &check, sizeof(check),
				   BPF_F_RECOMPUTE_CSUM);
}
