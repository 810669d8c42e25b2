/* Whose a destination is that is a frontend too: a socket of the node's, bound to that very address. */
#pragma once

#include "lookup.h"

/* A tuple from nowhere to @address, for a lookup of the socket that would get the first packet. */
INLINE __u32 bound_tuple(struct bpf_sock_tuple *tuple, const struct address *address, __be16 port)
{
	__builtin_memset(tuple, 0, sizeof(*tuple));
	if (address_is_v4(address)) {
		tuple->ipv4.daddr = address_word(address, 3);
		tuple->ipv4.dport = port;
		return sizeof(tuple->ipv4);
	}
	tuple->ipv6.daddr[0] = address_word(address, 0);
	tuple->ipv6.daddr[1] = address_word(address, 1);
	tuple->ipv6.daddr[2] = address_word(address, 2);
	tuple->ipv6.daddr[3] = address_word(address, 3);
	tuple->ipv6.dport = port;
	return sizeof(tuple->ipv6);
}

/*
 * A socket that listens on every address is no owner of one. Volatile, so that the compiler does not make one load
 * of two: the verifier knows fields of a socket, and no pointers to them.
 */
INLINE bool bound_is_to(const volatile struct bpf_sock *sk, const struct address *address)
{
	__u32 v4 = sk->src_ip4;
	__u32 v6[4] = {sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2], sk->src_ip6[3]};

	if (address_is_v4(address))
		return v4 == address_word(address, 3);
	return address_equal((const struct address *)v6, address);
}

/*
 * Does a socket of the node own @address:port? In a program that runs in the node's network namespace.
 * @ctx: of a packet or of a system call.
 */
#define bound_here(ctx, address, port, proto)                                                                          \
	({                                                                                                             \
		struct bpf_sock_tuple tuple_;                                                                          \
		__u32 length_ = bound_tuple(&tuple_, address, port);                                                   \
		struct bpf_sock *sk_;                                                                                  \
		bool bound_ = false;                                                                                   \
		if (proto == IPPROTO_UDP)                                                                              \
			sk_ = bpf_sk_lookup_udp(ctx, &tuple_, length_, BPF_F_CURRENT_NETNS, 0);                        \
		else                                                                                                   \
			sk_ = bpf_sk_lookup_tcp(ctx, &tuple_, length_, BPF_F_CURRENT_NETNS, 0);                        \
		if (sk_) {                                                                                             \
			bound_ = bound_is_to(sk_, address);                                                            \
			bpf_sk_release(sk_);                                                                           \
		}                                                                                                      \
		bound_;                                                                                                \
	})
