/* Reads the Geneve headers of direct server return. */
#pragma once

#include "geneve.h"
#include "scratch.h"

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
