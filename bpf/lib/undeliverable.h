/*
 * A packet that is sent out from the hook and can go no further. Whoever forwards past the stack has to tell the sender
 * what a router would: the MTU when it is longer than the next hop takes (RFC 1191, RFC 8201), also of a packet that
 * may be broken into pieces, because here nobody could break it; and that its time is up.
 */
#pragma once

#include "answer_limit.h"
#include "icmp_make.h"
#include "lookup.h"
#include "monitor_packet.h"
#include "stats.h"

/* Does the packet, or a segment of it when it is still to be cut into segments, exceed @mtu? */
NOINLINE bool packet_exceeds(struct __sk_buff *skb, const struct packet *packet, __u32 mtu)
{
	__u32 header, segment = skb->gso_size;
	__u8 offset = 0;

	if (!packet)
		return false;
	if (!segment)
		return packet->bytes > mtu;
	header = packet->l4_offset - L3_OFFSET + sizeof(struct udphdr);
	if (packet->key.proto == IPPROTO_TCP) {
		bpf_skb_load_bytes(skb, packet->l4_offset + 12, &offset, sizeof(offset));
		header = packet->l4_offset - L3_OFFSET + (offset >> 4) * 4;
	}
	return header + segment > mtu;
}

/*
 * The packet that stands in the scratch memory becomes an error about itself.
 * @what: enum icmp_made. @told, @dropped: reasons, of which one is counted.
 * Returns a TC_ACT verdict.
 */
INLINE int undeliverable_tell(struct __sk_buff *skb, const struct packet *packet, __u32 what, __u32 mtu, __u32 told,
			      __u32 dropped)
{
	__u32 bytes = packet->bytes;

	if (!answer_may(&packet->key.saddr)) {
		stats_count(REASON_DROP_ANSWER_LIMIT, bytes);
		monitor_packet(REASON_DROP_ANSWER_LIMIT);
		return TC_ACT_SHOT;
	}
	if (icmp_make(skb, what, mtu)) {
		stats_count(dropped, bytes);
		monitor_packet(dropped);
		return TC_ACT_SHOT;
	}
	stats_count(told, bytes);
	monitor_packet(told);
	return answer_send(skb, packet->key.hook);
}

INLINE int too_big_tell(struct __sk_buff *skb, const struct packet *packet, __u32 mtu)
{
	return undeliverable_tell(skb, packet, ICMP_MADE_TOO_BIG, mtu, REASON_TOO_BIG, REASON_DROP_TOO_BIG);
}

/* From this node, as a router says it, where it has an address on the way: traceroute shows that one. */
INLINE int time_exceeded_tell(struct __sk_buff *skb, struct packet *packet)
{
	const struct device *device = device_of(skb->ifindex);
	struct scratch *scratch = scratch_get();
	const struct address *own;

	if (scratch)
		address_copy(&scratch->dialled, &packet->key.daddr);
	own = device ? (const struct address *)(packet_is_v4(packet) ? &device->masquerade4 : &device->masquerade6)
		     : NULL;
	if (own && !address_is_none(own))
		address_copy(&packet->key.daddr, own);
	return undeliverable_tell(skb, packet, ICMP_MADE_TIME_EXCEEDED, 0, REASON_TIME_EXCEEDED, REASON_DROP_TTL);
}
