/* A packet that is made into its own answer: its network header, and the way back to where it came from. */
#pragma once

#include "rewrite.h"
#include "send_skb.h"

#define ANSWER_TTL 64

/* Writes the network header of the answer. @payload: bytes after it. */
INLINE int answer_write_l3(struct __sk_buff *skb, const struct packet *packet, __u8 proto, __u16 payload)
{
	if (packet_is_v4(packet)) {
		struct iphdr ip = {
			.version = 4,
			.ihl = 5,
			.tot_len = bpf_htons(sizeof(ip) + payload),
			.frag_off = bpf_htons(0x4000),
			.ttl = ANSWER_TTL,
			.protocol = proto,
			.saddr = address_word(&packet->key.daddr, 3),
			.daddr = address_word(&packet->key.saddr, 3),
		};
		__u32 *words = (__u32 *)&ip;
		__u64 sum = 0;

		for (int i = 0; i < 5; i++)
			sum += words[i];
		ip.check = ~checksum_fold16(checksum_fold32(sum));
		return bpf_skb_store_bytes(skb, L3_OFFSET, &ip, sizeof(ip), 0);
	}
	struct ipv6hdr ip6 = {
		.version = 6,
		.payload_len = bpf_htons(payload),
		.nexthdr = proto,
		.hop_limit = ANSWER_TTL,
	};
	__builtin_memcpy(&ip6.saddr, &packet->key.daddr, 16);
	__builtin_memcpy(&ip6.daddr, &packet->key.saddr, 16);
	return bpf_skb_store_bytes(skb, L3_OFFSET, &ip6, sizeof(ip6), 0);
}

/*
 * Is the transport checksum left to the device (CHECKSUM_PARTIAL)? The helper that follows a
 * change outside the pseudo header leaves such a checksum alone.
 */
INLINE bool answer_checksum_is_partial(struct __sk_buff *skb, __u32 offset)
{
	__u16 before = 0, after = 0;

	if (bpf_skb_load_bytes(skb, offset, &before, sizeof(before)) || bpf_l4_csum_replace(skb, offset, 0, 1, 0) ||
	    bpf_skb_load_bytes(skb, offset, &after, sizeof(after)))
		return false;
	return before == after;
}

/*
 * Out by the device that it came in by; what this node itself sends comes in again as if from
 * outside.
 * @hook: enum flow_hook.
 * Returns a TC_ACT verdict.
 */
INLINE int answer_send(struct __sk_buff *skb, __u32 hook)
{
	struct ethhdr *eth = (void *)(long)skb->data;
	__u8 mac[ETH_ALEN];

	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
	if (hook == HOOK_EGRESS)
		return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
	skb->tc_index = TC_INDEX_DONE;
	return bpf_redirect(skb->ifindex, 0);
}
