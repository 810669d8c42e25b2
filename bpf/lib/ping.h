/* Pings to a service address are answered here, as users of IPVS mode know it (beyond R-97). */
#pragma once

#include "answer.h"
#include "checksum.h"
#include "lookup.h"
#include "stats.h"
#include "unallocated.h"

#define PING_TTL 64
#define ICMP_ECHO_REQUEST 8
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

/* Is the address one that frontends with a backend have? */
INLINE bool ping_is_answered(const struct address *address)
{
	const struct mark *mark = service_address(address);

	return mark && (mark->flags & SERVICE_ADDRESS_PING);
}

/* A ping that is not answered goes on, unless it leaves for an address that nobody has. */
INLINE int ping_leave(const struct address *address, __u32 hook, __u64 bytes)
{
	if (hook != HOOK_EGRESS || !address_is_unallocated(address))
		return VERDICT_NEXT;
	stats_count(REASON_DROP_UNALLOCATED, bytes);
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
	struct address address;
	struct iphdr ip;
	__be32 swap;
	__u8 type;

	if (bpf_skb_load_bytes(skb, L3_OFFSET, &ip, sizeof(ip)) || ip.ihl != 5 ||
	    bpf_skb_load_bytes(skb, L3_OFFSET + sizeof(ip), &type, sizeof(type)) || type != ICMP_ECHO_REQUEST)
		return VERDICT_NEXT;
	address_from_v4(&address, ip.daddr);
	if (!ping_is_answered(&address))
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
	if (!ping_is_answered((struct address *)&ip.daddr))
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
