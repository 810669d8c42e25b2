/*
 * ICMP errors about packets of flows are translated like the packets they speak of, the quoted
 * header included: so a client learns of path MTU and unreachability with the addresses that it
 * knows, and so does a backend.
 *
 * The quoted packet went the other way. Its answer is what this hook would see; the entry of that
 * answer says what the answer becomes, so it says, the other way round, what the quoted packet was.
 */
#pragma once

#include "encap.h"
#include "flow.h"
#include "icmp_tunnel.h"
#include "inner.h"
#include "ping.h"
#include "send_skb.h"
#include "stats.h"

/* Quoted: the network header and at least eight bytes (RFC 792, RFC 4443). */
#define ICMP_HEADER 8

INLINE bool icmp_is_error4(__u8 type)
{
	/* Destination unreachable, source quench, time exceeded, parameter problem. */
	return type == 3 || type == 4 || type == 11 || type == 12;
}

/*
 * The network header of the error itself, at @base. Returns false for what is no error; after extension headers one is
 * left alone.
 */
NOINLINE bool icmp_read_error(struct __sk_buff *skb, struct icmp_quote *quote, __u32 base, bool v4)
{
	union inner_header ip = {};
	__u8 type;

	if (!quote || !inner_header_load(skb, &ip, base, v4))
		return false;
	quote->v4 = v4;
	if (v4) {
		quote->ttl = ip.v4.ttl;
		quote->bytes = bpf_ntohs(ip.v4.tot_len);
		quote->icmp_offset = base + ip.v4.ihl * 4;
		address_from_v4(&quote->sender, ip.v4.saddr);
	} else {
		if (ip.v6.nexthdr != IPPROTO_ICMPV6)
			return false;
		quote->ttl = ip.v6.hop_limit;
		quote->bytes = bpf_ntohs(ip.v6.payload_len) + sizeof(ip.v6);
		quote->icmp_offset = base + sizeof(ip.v6);
		address_copy(&quote->sender, (struct address *)&ip.v6.saddr);
	}
	if (bpf_skb_load_bytes(skb, quote->icmp_offset, &type, sizeof(type)))
		return false;
	/* In IPv6 errors have the types below 128 (RFC 4443 2.1). */
	return v4 ? icmp_is_error4(type) : type && type < 128;
}

/*
 * Reads the error whose network header stands at @base into scratch->quote, with the key of the answer to what it
 * quotes; that itself into scratch->packet. Returns false when it is no error about a packet.
 */
NOINLINE bool icmp_read_quote(struct __sk_buff *skb, struct scratch *scratch, __u32 base, bool v4, __u8 hook)
{
	struct icmp_quote *quote;
	struct packet *quoted;

	if (!scratch)
		return false;
	quote = &scratch->quote;
	quoted = &scratch->packet;
	__builtin_memset(quote, 0, sizeof(*quote));
	if (!icmp_read_error(skb, quote, base, v4))
		return false;
	quote->l3_offset = quote->icmp_offset + ICMP_HEADER;
	/* Only the first piece has ports. */
	if (!inner_read(skb, quoted, quote->l3_offset, v4) || quoted->piece == PACKET_LATER)
		return false;
	quote->l4_offset = quoted->l4_offset;
	flow_key_reverse(&quote->answer, &quoted->key, hook);
	return true;
}

/* Writes @length bytes and returns the change of their sum, unfolded. @length: a multiple of four. */
#define icmp_store(skb, offset, from, to, length, delta)                                                               \
	({                                                                                                             \
		*(delta) = checksum_fold32((__u64) * (delta) +                                                         \
					   (__u32)bpf_csum_diff((void *)(from), length, (void *)(to), length, 0));     \
		bpf_skb_store_bytes(skb, offset, to, length, BPF_F_RECOMPUTE_CSUM);                                    \
	})

/* The quoted transport header: ports, and a checksum where the quote reaches that far. */
NOINLINE int icmp_rewrite_quoted_l4(struct __sk_buff *skb, const struct icmp_quote *quote, const struct flow *flow,
				    __u32 *delta)
{
	__u32 before, after, offset;
	__u16 check, fixed;

	if (!quote || !flow || !delta)
		return -1;
	before = quote->answer.dport | (__u32)quote->answer.sport << 16;
	after = flow->dport | (__u32)flow->sport << 16;
	if (icmp_store(skb, quote->l4_offset, &before, &after, sizeof(after), delta))
		return -1;
	switch (quote->answer.proto) {
	case IPPROTO_TCP:
		offset = quote->l4_offset + offsetof(struct tcphdr, check);
		break;
	case IPPROTO_UDP:
		offset = quote->l4_offset + offsetof(struct udphdr, check);
		break;
	default:
		return 0;
	}
	if (bpf_skb_load_bytes(skb, offset, &check, sizeof(check)) || !check)
		return 0;
	fixed = checksum_apply(check, checksum_fold32((__u64)flow->address_delta + flow->port_delta));
	if (!fixed && quote->answer.proto == IPPROTO_UDP)
		fixed = 0xffff;
	*delta = checksum_fold32((__u64)*delta + (__u16)~check + fixed);
	return bpf_skb_store_bytes(skb, offset, &fixed, sizeof(fixed), BPF_F_RECOMPUTE_CSUM);
}

NOINLINE int icmp_rewrite4(struct __sk_buff *skb, const struct icmp_quote *quote, const struct flow *flow,
			   __u8 ttl_less)
{
	__be32 from[2], to[2];
	__u32 delta = 0, ignored = 0;
	struct iphdr outer;
	__u16 check;

	if (!quote || !flow)
		return -1;
	/* The quoted header: its own checksum takes up the change of its addresses. */
	from[0] = address_word(&quote->answer.daddr, 3);
	from[1] = address_word(&quote->answer.saddr, 3);
	to[0] = address_word(&flow->daddr, 3);
	to[1] = address_word(&flow->saddr, 3);
	if (icmp_store(skb, quote->l3_offset + offsetof(struct iphdr, saddr), from, to, sizeof(to), &ignored) ||
	    bpf_skb_load_bytes(skb, quote->l3_offset + offsetof(struct iphdr, check), &check, sizeof(check)))
		return -1;
	check = checksum_apply(check, flow->address_delta);
	if (bpf_skb_store_bytes(skb, quote->l3_offset + offsetof(struct iphdr, check), &check, sizeof(check),
				BPF_F_RECOMPUTE_CSUM) ||
	    icmp_rewrite_quoted_l4(skb, quote, flow, &delta) ||
	    bpf_skb_load_bytes(skb, quote->icmp_offset + 2, &check, sizeof(check)))
		return -1;
	check = checksum_apply(check, delta);
	if (bpf_skb_store_bytes(skb, quote->icmp_offset + 2, &check, sizeof(check), BPF_F_RECOMPUTE_CSUM) ||
	    bpf_skb_load_bytes(skb, L3_OFFSET, &outer, sizeof(outer)))
		return -1;
	/* The error itself: to the one whose packet it quotes; from the backend only when it sent it. By the
	 * difference, for options may follow. */
	ignored = bpf_csum_diff((void *)&outer, sizeof(outer), NULL, 0, 0);
	outer.daddr = to[0];
	if (outer.saddr == from[1])
		outer.saddr = to[1];
	outer.ttl -= ttl_less;
	ignored = bpf_csum_diff(NULL, 0, (void *)&outer, sizeof(outer), ignored);
	outer.check = checksum_apply(outer.check, ignored);
	return bpf_skb_store_bytes(skb, L3_OFFSET, &outer, sizeof(outer), BPF_F_RECOMPUTE_CSUM);
}

NOINLINE int icmp_rewrite6(struct __sk_buff *skb, const struct icmp_quote *quote, const struct flow *flow,
			   __u8 ttl_less)
{
	struct address from[2], to[2];
	__u32 delta = 0;
	__u16 check;
	__u8 ttl;

	if (!quote || !flow)
		return -1;
	address_copy(&from[0], &quote->answer.daddr);
	address_copy(&from[1], &quote->answer.saddr);
	address_copy(&to[0], &flow->daddr);
	address_copy(&to[1], &flow->saddr);
	if (icmp_store(skb, quote->l3_offset + offsetof(struct ipv6hdr, saddr), from, to, sizeof(to), &delta) ||
	    icmp_rewrite_quoted_l4(skb, quote, flow, &delta))
		return -1;
	/* The outer addresses are in the checksum too: destination, and source when it is the backend. */
	if (icmp_store(skb, L3_OFFSET + offsetof(struct ipv6hdr, daddr), &from[0], &to[0], sizeof(to[0]), &delta))
		return -1;
	if (address_equal(&quote->sender, &from[1]) &&
	    icmp_store(skb, L3_OFFSET + offsetof(struct ipv6hdr, saddr), &from[1], &to[1], sizeof(to[1]), &delta))
		return -1;
	if (bpf_skb_load_bytes(skb, quote->icmp_offset + 2, &check, sizeof(check)))
		return -1;
	check = checksum_apply(check, delta);
	if (bpf_skb_store_bytes(skb, quote->icmp_offset + 2, &check, sizeof(check), BPF_F_RECOMPUTE_CSUM))
		return -1;
	ttl = quote->ttl - ttl_less;
	return bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct ipv6hdr, hop_limit), &ttl, sizeof(ttl),
				   BPF_F_RECOMPUTE_CSUM);
}

/* An error about an answer that the backend's node sent directly: to that node, as the client's packets. */
INLINE int icmp_encapsulate(struct __sk_buff *skb, const struct icmp_quote *quote, const struct flow *flow)
{
	struct scratch *scratch = scratch_get();

	if (!scratch)
		return -1;
	__builtin_memset(&scratch->packet, 0, sizeof(scratch->packet));
	scratch->packet.key = quote->answer;
	scratch->packet.bytes = quote->bytes;
	scratch->packet.family = quote->v4 ? 4 : 6;
	return encap_wrap(skb, &scratch->packet, flow);
}

/* The same error about a packet of ours with a client's packet inside; icmp_tunnel.h. */
INLINE int icmp_carry_tunnel(struct __sk_buff *skb, const struct icmp_quote *quote)
{
	struct scratch *scratch = scratch_get();

	if (likely(quote->answer.proto == IPPROTO_TCP) || !scratch)
		return VERDICT_NEXT;
	__builtin_memset(&scratch->packet, 0, sizeof(scratch->packet));
	scratch->packet.key = quote->answer;
	scratch->packet.bytes = quote->bytes;
	scratch->packet.family = quote->v4 ? 4 : 6;
	return icmp_tunnel(skb, quote->icmp_offset, quote->l4_offset);
}

/*
 * Translates an ICMP error that quotes a packet of a flow, and answers pings to service addresses.
 * What the node itself sends is answered where it leaves; what it forwards was seen as it came in.
 * @hook: enum flow_hook.
 * Returns a TC_ACT verdict; what is no error, or quotes none of our packets, goes on as it is.
 */
GLOBAL int icmp_carry(struct __sk_buff *skb, __u32 hook)
{
	bool v4 = skb->protocol == bpf_htons(ETH_P_IP), half_open, redirect;
	struct scratch *scratch = scratch_get();
	struct icmp_quote *quote;
	__u32 neighbour = 0;
	struct flow *flow;
	int error;

	if (!scratch)
		return VERDICT_NEXT;
	quote = &scratch->quote;
	if (!icmp_read_quote(skb, scratch, L3_OFFSET, v4, hook))
		return ping_answer(skb, hook);
	flow = flow_find(&quote->answer, &half_open);
	if (!flow)
		return hook == HOOK_INGRESS ? icmp_carry_tunnel(skb, quote) : VERDICT_NEXT;
	if (flow->flags & FLOW_FOREIGN)
		return VERDICT_NEXT;
	redirect = flow->flags & FLOW_REDIRECT;
	if (redirect && quote->ttl <= 1) {
		stats_count(REASON_DROP_TTL, quote->bytes);
		address_copy(&scratch->dialled, &scratch->packet.key.daddr);
		monitor_packet(REASON_DROP_TTL);
		return TC_ACT_SHOT;
	}
	if (redirect && !packet_route(skb, &quote->answer, flow, &neighbour)) {
		stats_count(REASON_DROP_NO_ROUTE, quote->bytes);
		monitor_packet(REASON_DROP_NO_ROUTE);
		return TC_ACT_SHOT;
	}
	if (redirect && flow->flags & FLOW_DSR)
		error = icmp_encapsulate(skb, quote, flow);
	else
		error = quote->v4 ? icmp_rewrite4(skb, quote, flow, redirect)
				  : icmp_rewrite6(skb, quote, flow, redirect);
	stats_count(error ? REASON_DROP_REWRITE : REASON_ICMP_ERROR, quote->bytes);
	if (error) {
		monitor_packet(REASON_DROP_REWRITE);
		return TC_ACT_SHOT;
	}
	return redirect ? packet_send(skb, flow, neighbour) : VERDICT_NEXT;
}
