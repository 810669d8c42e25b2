/* Pings to a service address are answered here, as users of IPVS mode know it (beyond R-97). */
#pragma once

#include "answer.h"
#include "checksum.h"
#include "lookup.h"
#include "monitor_packet.h"
#include "stats.h"
#include "unallocated.h"

#define PING_TTL 64
#define ICMP_ECHO_REQUEST 8
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

/*
 * Is the address that of a host on a network of this node, where a packet would go to itself? Coming in by the device
 * that leads there, it was sent here in that host's name: the address is announced here, as a load balancer of the
 * network does it.
 */
NOINLINE bool ping_has_neighbour(struct __sk_buff *skb, const struct address *source, const struct address *address,
				 __u32 hook)
{
	struct bpf_fib_lookup params = {.ifindex = skb->ifindex};
	struct address next;
	long ret;

	if (!source || !address)
		return false;
	if (address_is_v4(address)) {
		params.family = AF_INET;
		params.ipv4_src = address_word(source, 3);
		params.ipv4_dst = address_word(address, 3);
	} else {
		params.family = AF_INET6;
		__builtin_memcpy(params.ipv6_src, source, 16);
		__builtin_memcpy(params.ipv6_dst, address, 16);
	}
	ret = bpf_fib_lookup(skb, &params, sizeof(params), 0);
	if (ret != BPF_FIB_LKUP_RET_SUCCESS && ret != BPF_FIB_LKUP_RET_NO_NEIGH)
		return false;
	/* The kernel puts the next hop in place of the destination. */
	if (params.family == AF_INET)
		address_from_v4(&next, params.ipv4_dst);
	else
		__builtin_memcpy(&next, params.ipv6_dst, sizeof(next));
	return address_equal(&next, address) && (hook == HOOK_EGRESS || params.ifindex != skb->ifindex);
}

/*
 * Is the address one that frontends with a backend have, and nobody else? A load balancer's may be that of a node,
 * which answers for itself, or does not when it is down.
 */
NOINLINE bool ping_is_answered(struct __sk_buff *skb, const struct address *source, const struct address *address,
			       __u32 hook)
{
	struct node_address_key key;
	const struct mark *mark;

	if (!source || !address)
		return false;
	mark = service_address(address);
	if (!mark || !(mark->flags & SERVICE_ADDRESS_PING))
		return false;
	if (node_address_flags(address) & NODE_ADDRESS_LOCAL)
		return false;
	if (mark->flags & SERVICE_ADDRESS_CLUSTER_IP)
		return true;
	address_copy(&key.address, address);
	return !bpf_map_lookup_elem(&peers, &key) && !ping_has_neighbour(skb, source, address, hook);
}

/* A ping that is not answered goes on, unless it leaves for an address that nobody has. */
INLINE int ping_leave(const struct address *address, __u32 hook, __u64 bytes)
{
	if (hook != HOOK_EGRESS || !address_is_unallocated(address))
		return VERDICT_NEXT;
	stats_count(REASON_DROP_UNALLOCATED, bytes);
	monitor_packet(REASON_DROP_UNALLOCATED);
	return TC_ACT_SHOT;
}

/* The type changes from @from to @to: so does the checksum. */
INLINE int ping_set_type(struct __sk_buff *skb, __u32 offset, __u8 from, __u8 to)
{
	__u16 check;

	if (bpf_skb_load_bytes(skb, offset + 2, &check, sizeof(check)))
		return -1;
	check = checksum_apply(check, (__u32)(__u16)~bpf_htons(from << 8) + bpf_htons(to << 8));
	if (bpf_skb_store_bytes(skb, offset + 2, &check, sizeof(check), BPF_F_RECOMPUTE_CSUM))
		return -1;
	return bpf_skb_store_bytes(skb, offset, &to, sizeof(to), BPF_F_RECOMPUTE_CSUM);
}

INLINE int ping_answer4(struct __sk_buff *skb, __u32 hook)
{
	struct address address, source;
	struct iphdr ip;
	__be32 swap;
	__u8 type;

	if (bpf_skb_load_bytes(skb, L3_OFFSET, &ip, sizeof(ip)) || ip.ihl != 5 ||
	    bpf_skb_load_bytes(skb, L3_OFFSET + sizeof(ip), &type, sizeof(type)) || type != ICMP_ECHO_REQUEST)
		return VERDICT_NEXT;
	address_from_v4(&address, ip.daddr);
	address_from_v4(&source, ip.saddr);
	if (!ping_is_answered(skb, &source, &address, hook))
		return ping_leave(&address, hook, bpf_ntohs(ip.tot_len));
	swap = ip.saddr;
	ip.saddr = ip.daddr;
	ip.daddr = swap;
	ip.ttl = PING_TTL;
	ip.check = 0;
	ip.check = ~checksum_fold16(checksum_fold32((__u32)bpf_csum_diff(NULL, 0, (void *)&ip, sizeof(ip), 0)));
	if (bpf_skb_store_bytes(skb, L3_OFFSET, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM) ||
	    ping_set_type(skb, L3_OFFSET + sizeof(ip), ICMP_ECHO_REQUEST, 0))
		return TC_ACT_SHOT;
	stats_count(REASON_PING_ANSWERED, bpf_ntohs(ip.tot_len));
	return answer_send(skb, hook);
}

INLINE int ping_answer6(struct __sk_buff *skb, __u32 hook)
{
	struct ipv6hdr ip;
	struct in6_addr swap;
	__u8 type;

	if (bpf_skb_load_bytes(skb, L3_OFFSET, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_ICMPV6 ||
	    bpf_skb_load_bytes(skb, L3_OFFSET + sizeof(ip), &type, sizeof(type)) || type != ICMPV6_ECHO_REQUEST)
		return VERDICT_NEXT;
	if (!ping_is_answered(skb, (struct address *)&ip.saddr, (struct address *)&ip.daddr, hook))
		return ping_leave((struct address *)&ip.daddr, hook, bpf_ntohs(ip.payload_len) + sizeof(ip));
	swap = ip.saddr;
	ip.saddr = ip.daddr;
	ip.daddr = swap;
	ip.hop_limit = PING_TTL;
	if (bpf_skb_store_bytes(skb, L3_OFFSET, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM) ||
	    ping_set_type(skb, L3_OFFSET + sizeof(ip), ICMPV6_ECHO_REQUEST, ICMPV6_ECHO_REPLY))
		return TC_ACT_SHOT;
	stats_count(REASON_PING_ANSWERED, bpf_ntohs(ip.payload_len) + sizeof(ip));
	return answer_send(skb, hook);
}

/* Returns a TC_ACT verdict; what is no ping for us goes on as it is. */
GLOBAL int ping_answer(struct __sk_buff *skb, __u32 hook)
{
	return skb->protocol == bpf_htons(ETH_P_IP) ? ping_answer4(skb, hook) : ping_answer6(skb, hook);
}
