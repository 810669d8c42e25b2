/*
 * The socket path: a connection is pointed at its backend before the first packet exists, and costs
 * nothing afterwards. connect and sendmsg translate; recvmsg and getpeername show the process the
 * address that it dialled; post_bind keeps NodePorts free; skb_egress stops a connected UDP socket
 * whose backend serves no more; sock_release forgets.
 */
#include "lib/common.h"
#include "lib/sock.h"

INLINE void dialled4(struct sock_address *to, struct bpf_sock_addr *ctx)
{
	address_from_v4(&to->address, ctx->user_ip4);
	to->port = (__be16)ctx->user_port;
	to->proto = ctx->protocol;
}

INLINE void dialled6(struct sock_address *to, struct bpf_sock_addr *ctx)
{
	address_set_word(&to->address, 0, ctx->user_ip6[0]);
	address_set_word(&to->address, 1, ctx->user_ip6[1]);
	address_set_word(&to->address, 2, ctx->user_ip6[2]);
	address_set_word(&to->address, 3, ctx->user_ip6[3]);
	to->port = (__be16)ctx->user_port;
	to->proto = ctx->protocol;
}

INLINE void redial4(struct bpf_sock_addr *ctx, const struct sock_address *to)
{
	ctx->user_ip4 = address_word(&to->address, 3);
	ctx->user_port = to->port;
}

INLINE void redial6(struct bpf_sock_addr *ctx, const struct sock_address *to)
{
	ctx->user_ip6[0] = address_word(&to->address, 0);
	ctx->user_ip6[1] = address_word(&to->address, 1);
	ctx->user_ip6[2] = address_word(&to->address, 2);
	ctx->user_ip6[3] = address_word(&to->address, 3);
	ctx->user_port = to->port;
}

/*
 * Refuses with ECONNREFUSED. Kernels without bpf_set_retval would return EPERM: there the
 * call goes to port 0 of the loopback, which nobody can listen on.
 */
INLINE bool refuse(struct sock_address *to)
{
	if (knobs.have_set_retval) {
		bpf_set_retval(-ECONNREFUSED);
		return true;
	}
	if (address_is_v4(&to->address)) {
		address_from_v4(&to->address, bpf_htonl(0x7f000001));
	} else {
		__builtin_memset(&to->address, 0, sizeof(to->address));
		to->address.b[15] = 1;
	}
	to->port = 0;
	return false;
}

/* The cookie of the TCP socket behind one of MPTCP; 0: none is known. */
INLINE __u64 subflow_cookie(struct bpf_sock_addr *ctx, const struct sock_address *peer)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk = ctx->sk;
	struct sock_memory *memory;
	__u64 cookie = 0;
	struct address own;
	__u32 length, v4;
	__be16 port;

	if (!sk)
		return 0;
	port = bpf_htons(sk->src_port);
	v4 = ((const volatile struct bpf_sock *)sk)->src_ip4;
	for (int i = 0; i < 4; i++)
		address_set_word(&own, i, ((const volatile struct bpf_sock *)sk)->src_ip6[i]);
	if (address_is_v4(&peer->address)) {
		tuple.ipv4.saddr = address_word(&peer->address, 3);
		tuple.ipv4.sport = peer->port;
		tuple.ipv4.daddr = v4;
		tuple.ipv4.dport = port;
		length = sizeof(tuple.ipv4);
	} else {
		for (int i = 0; i < 4; i++) {
			tuple.ipv6.saddr[i] = address_word(&peer->address, i);
			tuple.ipv6.daddr[i] = address_word(&own, i);
		}
		tuple.ipv6.sport = peer->port;
		tuple.ipv6.dport = port;
		length = sizeof(tuple.ipv6);
	}
	sk = bpf_sk_lookup_tcp(ctx, &tuple, length, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	memory = bpf_sk_storage_get(&sock_memories, sk, NULL, 0);
	if (memory)
		cookie = memory->cookie;
	bpf_sk_release(sk);
	return cookie;
}

INLINE __u64 peer_cookie(struct bpf_sock_addr *ctx, struct sock_address *peer, bool received)
{
	if (received || ctx->protocol != IPPROTO_MPTCP)
		return bpf_get_socket_cookie(ctx);
	peer->proto = IPPROTO_TCP;
	return subflow_cookie(ctx, peer);
}

INLINE int dial4(struct bpf_sock_addr *ctx, bool datagram)
{
	struct sock_address to = {};
	enum sock_verdict verdict;

	dialled4(&to, ctx);
	verdict = sock_dial(ctx, &to, datagram);
	if (verdict == SOCK_AS_IT_IS)
		return SOCK_PROCEED;
	if (verdict == SOCK_NO_BACKEND && refuse(&to))
		return SOCK_REFUSE;
	redial4(ctx, &to);
	return SOCK_PROCEED;
}

INLINE int dial6(struct bpf_sock_addr *ctx, bool datagram)
{
	struct sock_address to = {};
	enum sock_verdict verdict;

	dialled6(&to, ctx);
	verdict = sock_dial(ctx, &to, datagram);
	if (verdict == SOCK_AS_IT_IS)
		return SOCK_PROCEED;
	if (verdict == SOCK_NO_BACKEND && refuse(&to))
		return SOCK_REFUSE;
	redial6(ctx, &to);
	return SOCK_PROCEED;
}

/* Could it be a datagram that looks like a frontend's? */
INLINE bool may_be_frontend(const struct sock_address *peer)
{
	const struct known_addresses *known = known_get();

	return port_is_known(known, peer->port) && address_is_known(known, &peer->address);
}

INLINE int peer4(struct bpf_sock_addr *ctx, bool received)
{
	struct sock_address peer = {};
	__u64 cookie;

	dialled4(&peer, ctx);
	cookie = peer_cookie(ctx, &peer, received);
	if (sock_translate_back(&peer, cookie, received) || sock_memory_recall(ctx, &peer, cookie))
		redial4(ctx, &peer);
	else if (received && unlikely(may_be_frontend(&peer)))
		sock_heard(&peer, bpf_get_socket_cookie(ctx));
	return SOCK_PROCEED;
}

INLINE int peer6(struct bpf_sock_addr *ctx, bool received)
{
	struct sock_address peer = {};
	__u64 cookie;

	dialled6(&peer, ctx);
	cookie = peer_cookie(ctx, &peer, received);
	if (sock_translate_back(&peer, cookie, received) || sock_memory_recall(ctx, &peer, cookie))
		redial6(ctx, &peer);
	else if (received && unlikely(may_be_frontend(&peer)))
		sock_heard(&peer, bpf_get_socket_cookie(ctx));
	return SOCK_PROCEED;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	if (ctx->user_ip4 == AGENT_KNOCK_ADDRESS && ctx->user_port == AGENT_KNOCK_PORT && ctx->protocol == IPPROTO_UDP)
		agent_knock(bpf_get_socket_cookie(ctx));
	return dial4(ctx, false);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	return dial6(ctx, false);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	return dial4(ctx, true);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	return dial6(ctx, true);
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	return peer4(ctx, true);
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	return peer6(ctx, true);
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	return peer4(ctx, false);
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	return peer6(ctx, false);
}

/*
 * A process of the node asks for a port: is it a NodePort of this protocol?
 * @families: which NodePorts it would shadow.
 */
#define BINDS_V4 1
#define BINDS_V6 2

INLINE int bind_checked(struct bpf_sock *ctx, int families)
{
	struct frontend_key v4 = {.port = bpf_htons(ctx->src_port), .proto = ctx->protocol};
	struct frontend_key v6 = v4;

	if (!knobs.bind_protection || !sock_is_host(bpf_get_netns_cookie(ctx)))
		return SOCK_PROCEED;
	if (ctx->protocol == IPPROTO_MPTCP)
		v4.proto = v6.proto = IPPROTO_TCP;
	address_from_v4(&v4.address, 0);
	if (!(families & BINDS_V4 && bpf_map_lookup_elem(&frontends, &v4)) &&
	    !(families & BINDS_V6 && bpf_map_lookup_elem(&frontends, &v6)))
		return SOCK_PROCEED;
	if (standing_by())
		return SOCK_PROCEED;
	stats_count(REASON_SOCKET_BIND_REFUSED, 0);
	monitor_bind(ctx);
	if (knobs.have_set_retval)
		bpf_set_retval(-EADDRINUSE);
	return SOCK_REFUSE;
}

SEC("cgroup/post_bind4")
int post_bind4(struct bpf_sock *ctx)
{
	return bind_checked(ctx, BINDS_V4);
}

/* [::] takes IPv4 too, unless the socket is for IPv6 only: the hook cannot tell, so that is refused as well. */
SEC("cgroup/post_bind6")
int post_bind6(struct bpf_sock *ctx)
{
	struct address address;

	address_set_word(&address, 0, ctx->src_ip6[0]);
	address_set_word(&address, 1, ctx->src_ip6[1]);
	address_set_word(&address, 2, ctx->src_ip6[2]);
	address_set_word(&address, 3, ctx->src_ip6[3]);
	if (address_is_v4(&address))
		return bind_checked(ctx, BINDS_V4);
	return bind_checked(ctx, address_is_none(&address) ? BINDS_V4 | BINDS_V6 : BINDS_V6);
}

/*
 * A connected UDP socket never asks again where its frontend leads: sendmsg hooks are for sockets that
 * name a destination. So its packets are looked at as they leave; once the backend that connect chose
 * serves no more, the send fails with EPERM. Attached only while such a socket may exist: a
 * program here costs every packet of every socket something.
 */
SEC("cgroup_skb/egress")
int skb_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct sock_key key = {};

	if (!sk || !sk->dst_port)
		return SOCK_PROCEED;
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->protocol != IPPROTO_UDP || !sock_key_of_packet(&key, skb))
		return SOCK_PROCEED;
	key.cookie = bpf_get_socket_cookie(skb);
	if (!sock_peer_is_gone(&key))
		return SOCK_PROCEED;
	stats_count(REASON_SOCKET_STALE, skb->len);
	monitor_stale(&key, skb->len);
	return SOCK_REFUSE;
}

SEC("cgroup/sock_release")
int sock_release(struct bpf_sock *ctx)
{
	struct sock_key key = {.cookie = bpf_get_socket_cookie(ctx), .proto = ctx->protocol};

	key.port = ctx->dst_port;
	if (!key.port)
		return SOCK_PROCEED;
	if (ctx->family == AF_INET) {
		address_from_v4(&key.address, ctx->dst_ip4);
	} else {
		address_set_word(&key.address, 0, ctx->dst_ip6[0]);
		address_set_word(&key.address, 1, ctx->dst_ip6[1]);
		address_set_word(&key.address, 2, ctx->dst_ip6[2]);
		address_set_word(&key.address, 3, ctx->dst_ip6[3]);
	}
	bpf_map_delete_elem(&sock_peers, &key);
	return SOCK_PROCEED;
}

char LICENSE[] SEC("license") = "GPL";
