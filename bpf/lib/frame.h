/*
 * Whom a frame is for. A promiscuous device, while switches flood, lets frames through that are for another host: that
 * one answers them, with a choice of its own. A frame for many is for no router either (RFC 1812 5.3.4).
 */
#pragma once

#include "lookup.h"

/* skb->pkt_type: include/uapi/linux/if_packet.h */
#define PACKET_TYPE_HOST 0
#define PACKET_TYPE_OTHERHOST 3

/*
 * Is it a frame for somebody else? On devices of pods none is: what a pod sends to the MAC address of another one, by
 * the bridge between them, may be a Service's answer.
 */
NOINLINE bool frame_is_anothers(struct __sk_buff *skb)
{
	const struct device *in;

	if (!skb)
		return false;
	in = device_of(skb->ifindex);
	if (!in || !(in->flags & DEVICE_NODE))
		return false;
	return skb->pkt_type != PACKET_TYPE_OTHERHOST || !(in->flags & DEVICE_OTHER_MACS);
}

/* Does the stack take it for a frame of this very device? Nearly all are. */
INLINE bool frame_is_ours(struct __sk_buff *skb)
{
	return likely(skb->pkt_type == PACKET_TYPE_HOST) || !frame_is_anothers(skb);
}
