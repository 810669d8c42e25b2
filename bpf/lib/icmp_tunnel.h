/*
 * A router between this node and a backend's cannot take an encapsulated packet of ours: the client
 * learns the MTU, less what the headers around its packet take, in an error about its own packet.
 */
#pragma once

#include "encap.h"
#include "geneve_read.h"
#include "inner.h"
#include "undeliverable.h"

/*
 * The client's packet, quoted inside the quoted packet at @offset, into scratch->packet: its key, and where its
 * transport header will be once it stands alone. Only a plain one can be told of (icmp_make.h).
 */
INLINE bool icmp_tunnel_client(struct __sk_buff *skb, struct packet *packet, __u32 offset, bool v4)
{
	__u32 plain = plain_l4_offset(v4);

	if (!inner_read(skb, packet, offset, v4) || packet->piece == PACKET_LATER ||
	    packet->l4_offset - offset != plain - L3_OFFSET)
		return false;
	packet->l4_offset = plain;
	return true;
}

/* Writes what the client dialled into its packet, which was for the backend already. */
INLINE int icmp_tunnel_restore(struct __sk_buff *skb, const struct packet *packet)
{
	struct iphdr ip;

	if (bpf_skb_store_bytes(skb, packet->l4_offset + offsetof(struct udphdr, dest), &packet->key.dport,
				sizeof(packet->key.dport), 0))
		return -1;
	if (!packet_is_v4(packet))
		return bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct ipv6hdr, daddr), &packet->key.daddr,
					   sizeof(packet->key.daddr), 0);
	if (bpf_skb_load_bytes(skb, L3_OFFSET, &ip, sizeof(ip)))
		return -1;
	ip.daddr = address_word(&packet->key.daddr, 3);
	ip.check = 0;
	ip.check = ~checksum_fold16(checksum_fold32((__u64)(__u32)bpf_csum_diff(NULL, 0, (void *)&ip, sizeof(ip), 0)));
	return bpf_skb_store_bytes(skb, L3_OFFSET, &ip, sizeof(ip), 0);
}

/*
 * The least MTU that is believed, for anybody can forge an error: in IPv4 what the kernel believes (ip_rt_min_pmtu), in
 * IPv6 what every link takes (RFC 8200 5).
 */
#define MTU_LEAST4 552
#define MTU_LEAST6 1280

/* Is it about the length of a packet? Then @mtu is what fits. */
INLINE bool icmp_tunnel_mtu(struct __sk_buff *skb, __u32 offset, bool v4, __u32 *mtu)
{
	struct icmp_error icmp;

	if (bpf_skb_load_bytes(skb, offset, &icmp, sizeof(icmp)))
		return false;
	*mtu = bpf_ntohl(icmp.mtu);
	if (!v4)
		return icmp.type == ICMPV6_PACKET_TOO_BIG && *mtu >= MTU_LEAST6;
	*mtu &= 0xffff;
	return icmp.type == ICMP_DEST_UNREACH && icmp.code == ICMP_FRAG_NEEDED && *mtu >= MTU_LEAST4;
}

/*
 * @icmp_offset, @offset: the error, and what follows the network header of the packet that it quotes. The
 * answer to that packet stands in scratch->packet.key.
 * Returns a TC_ACT verdict; an error about anything else goes on as it is.
 */
GLOBAL int icmp_tunnel(struct __sk_buff *skb, __u32 icmp_offset, __u32 offset)
{
	struct scratch *scratch = scratch_get();
	struct packet *packet;
	struct flow *flow;
	__u32 mtu, overhead, bytes;
	bool v4, geneve, half_open;

	if (!scratch)
		return VERDICT_NEXT;
	packet = &scratch->packet;
	bytes = packet->bytes;
	v4 = packet_is_v4(packet);
	geneve = packet->key.proto == IPPROTO_UDP && packet->key.sport == knobs.geneve_port;
	if ((!geneve && packet->key.proto != (v4 ? IPPROTO_IPIP : IPPROTO_IPV6)) ||
	    !address_equal(&packet->key.daddr, node_own_address(&packet->key.daddr)) ||
	    !icmp_tunnel_mtu(skb, icmp_offset, v4, &mtu))
		return VERDICT_NEXT;
	if (geneve) {
		__u32 length = geneve_read(skb, &scratch->decap, offset, v4);

		if (!length)
			return VERDICT_NEXT;
		offset += length;
	}
	if (!icmp_tunnel_client(skb, packet, offset, v4))
		return VERDICT_NEXT;
	if (geneve) {
		address_copy(&packet->key.daddr, &scratch->decap.frontend);
		packet->key.dport = scratch->decap.frontend_port;
	}
	flow = flow_find(&packet->key, &half_open);
	if (!flow || !(flow->flags & FLOW_DSR) || !(flow->flags & FLOW_REDIRECT))
		return VERDICT_NEXT;
	overhead = nexthop_overhead(flow);
	if (mtu <= overhead)
		return VERDICT_NEXT;
	mtu -= overhead;
	if (!flow->mtu || mtu < flow->mtu)
		/* Until the next hop is looked up again, longer packets are answered here. */
		flow->mtu = mtu;
	if (!answer_may(&packet->key.saddr)) {
		stats_count(REASON_DROP_ANSWER_LIMIT, bytes);
		monitor_packet(REASON_DROP_ANSWER_LIMIT);
		return TC_ACT_SHOT;
	}
	flow_key_reverse(&scratch->routed, &packet->key, HOOK_INGRESS);
	if (!fib_lookup(skb, &scratch->routed, &scratch->next) || scratch->next.local ||
	    bpf_skb_adjust_room(skb, -(__s32)(offset - L3_OFFSET), BPF_ADJ_ROOM_MAC, 0) ||
	    (geneve && icmp_tunnel_restore(skb, packet)) || icmp_make(skb, ICMP_MADE_TOO_BIG, mtu)) {
		stats_count(REASON_DROP_REWRITE, bytes);
		monitor_packet(REASON_DROP_REWRITE);
		return TC_ACT_SHOT;
	}
	stats_count(REASON_ICMP_ERROR, bytes);
	skb->tc_index = TC_INDEX_DONE;
	return packet_send_to(skb, &scratch->next);
}
