/*
 * Refuses a packet at once, from the hook: a TCP reset, or ICMP port unreachable for the rest
 * (R-28).
 */
#pragma once

#include "icmp_make.h"

/* RFC 9293 3.10.7.1: the answer to a segment for a connection that does not exist. */
NOINLINE int reject_tcp(struct __sk_buff *skb, struct packet *packet)
{
	struct tcphdr tcp, rst = {};
	__u32 *words = (__u32 *)&rst;
	__u32 header, segment;
	bool partial;
	__u64 sum;

	if (!packet || packet->tcp_flags & TCP_RST)
		return TC_ACT_SHOT;
	if (bpf_skb_load_bytes(skb, packet->l4_offset, &tcp, sizeof(tcp)))
		return TC_ACT_SHOT;
	header = packet->l4_offset - L3_OFFSET + tcp.doff * 4;
	segment = packet->bytes > header ? packet->bytes - header : 0;
	rst.source = tcp.dest;
	rst.dest = tcp.source;
	rst.doff = 5;
	rst.rst = 1;
	if (tcp.ack) {
		rst.seq = tcp.ack_seq;
	} else {
		rst.ack = 1;
		rst.ack_seq = bpf_htonl(bpf_ntohl(tcp.seq) + segment + tcp.syn + tcp.fin);
	}
	partial = answer_checksum_is_partial(skb, packet->l4_offset + offsetof(struct tcphdr, check));
	sum = packet_pseudo_sum(packet, IPPROTO_TCP, sizeof(rst));
	if (partial) {
		rst.check = checksum_fold16(checksum_fold32(sum));
	} else {
		for (int i = 0; i < 5; i++)
			sum += words[i];
		rst.check = ~checksum_fold16(checksum_fold32(sum));
	}
	/* Options of the network header would be in the way. */
	if (packet->l4_offset != L3_OFFSET + (packet_is_v4(packet) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)))
		return TC_ACT_SHOT;
	if (bpf_skb_change_tail(skb, packet->l4_offset + sizeof(rst), 0) ||
	    answer_write_l3(skb, packet, IPPROTO_TCP, sizeof(rst)) ||
	    bpf_skb_store_bytes(skb, packet->l4_offset, &rst, sizeof(rst), 0))
		return TC_ACT_SHOT;
	return answer_send(skb, packet->key.hook);
}

/*
 * Refuses the packet that stands in the scratch memory.
 * Returns a TC_ACT verdict: redirected, or dropped when the answer cannot be built.
 */
GLOBAL int reject_packet(struct __sk_buff *skb)
{
	struct scratch *scratch = scratch_get();

	if (!scratch)
		return TC_ACT_SHOT;
	if (scratch->packet.key.proto == IPPROTO_TCP)
		return reject_tcp(skb, &scratch->packet);
	if (icmp_make(skb, ICMP_MADE_PORT_UNREACHABLE, 0))
		return TC_ACT_SHOT;
	return answer_send(skb, scratch->packet.key.hook);
}
