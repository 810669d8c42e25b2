/* Reads the Geneve headers of direct server return. */
#pragma once

#include "geneve.h"
#include "known.h"
#include "scratch.h"

/*
 * Is it a plain packet of somebody else's Geneve, an overlay's, to this node? It has the port of ours but not our
 * option, and no flow has it: no frontend has the port, and source NAT took none towards its sender. The device that
 * takes it apart is the kernel's.
 * @v4: the family, known when this is compiled.
 */
INLINE bool geneve_is_foreign(struct __sk_buff *skb, bool v4)
{
	void *data = context_data(skb);
	const struct geneve_packet4 *packet4 = data + L3_OFFSET;
	const struct geneve_packet6 *packet6 = data + L3_OFFSET;
	const struct known_addresses *known = known_get();
	const struct geneve_header *geneve;
	struct address source, own;
	__be16 port;

	if (v4) {
		if (data + L3_OFFSET + offsetof(struct geneve_packet4, frontend) > context_end(skb) ||
		    *(const __u8 *)&packet4->ip != IPV4_PLAIN || packet4->ip.protocol != IPPROTO_UDP ||
		    packet4->ip.frag_off & bpf_htons(IP_OFFSET_MASK | IP_MORE))
			return false;
		address_from_v4(&source, packet4->ip.saddr);
		address_from_v4(&own, packet4->ip.daddr);
		port = packet4->udp.dest;
		geneve = &packet4->geneve;
	} else {
		if (data + L3_OFFSET + offsetof(struct geneve_packet6, frontend) > context_end(skb) ||
		    packet6->ip.nexthdr != IPPROTO_UDP)
			return false;
		address_copy(&source, (const struct address *)&packet6->ip.saddr);
		address_copy(&own, (const struct address *)&packet6->ip.daddr);
		port = packet6->udp.dest;
		geneve = &packet6->geneve;
	}
	return port == knobs.geneve_port && !geneve_is_ours(geneve, v4) &&
	       address_equal(&own, node_own_address(&own)) && !port_is_known(known, port) &&
	       !address_has_snat(known, &source);
}

/* The frontend in the option of a Geneve packet. Returns the length of UDP and Geneve headers; 0: not one of ours. */
NOINLINE __u32 geneve_read(struct __sk_buff *skb, struct decap *decap, __u32 offset, bool v4)
{
	struct geneve_header header;
	struct geneve_frontend4 frontend4;
	struct geneve_frontend6 frontend6;
	__u32 length = sizeof(struct udphdr) + sizeof(header);

	if (!decap || bpf_skb_load_bytes(skb, offset + sizeof(struct udphdr), &header, sizeof(header)) ||
	    !geneve_is_ours(&header, v4))
		return 0;
	offset += length;
	if (v4) {
		if (bpf_skb_load_bytes(skb, offset, &frontend4, sizeof(frontend4)))
			return 0;
		address_from_v4(&decap->frontend, frontend4.address);
		decap->frontend_port = frontend4.port;
		return length + sizeof(frontend4);
	}
	if (bpf_skb_load_bytes(skb, offset, &frontend6, sizeof(frontend6)))
		return 0;
	address_copy(&decap->frontend, &frontend6.address);
	decap->frontend_port = frontend6.port;
	return length + sizeof(frontend6);
}
