/* Sends a packet that was made into its own answer back to where it came from. */
#pragma once

#include "send_skb.h"

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
