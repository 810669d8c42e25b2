/*
 * What a socket itself remembers: by which names it knows the backends that it was pointed at last. sock_peers says it
 * first, and of more of them; but that table is shared and forgets the oldest, so a pod that dials a frontend often
 * enough makes others forget theirs, and a resolver would hear from a server that it did not ask. This goes with the
 * socket.
 */
#pragma once

#include "sock_names.h"

/* Of a resolver's sockets each asks three servers at most (resolv.conf(5)). */
#define SOCK_MEMORY_ROWS 4

struct sock_memory_row {
	struct sock_name backend;
	struct sock_name dialled;
};

/*
 * The cookie is that of a TCP socket. A socket of MPTCP is another one than that which it connects by, and getpeername
 * is asked of it: the other is found by its addresses, and its cookie here.
 */
struct sock_memory {
	__u64 cookie;
	/* The row to be written next. */
	__u64 next;
	struct sock_memory_row rows[SOCK_MEMORY_ROWS];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sock_memory);
} sock_memories SEC(".maps");

INLINE bool sock_name_is(const struct sock_name *name, const struct sock_address *address)
{
	return name->port == address->port && address_equal(&name->address, &address->address);
}

INLINE void sock_name_set(struct sock_name *name, const struct sock_address *address)
{
	address_copy(&name->address, &address->address);
	name->port = address->port;
}

/* The socket, which dialled @dialled, is pointed at @backend. Where the kernel has no memory left it remembers nothing.
 */
NOINLINE void sock_memory_set(struct bpf_sock_addr *ctx, const struct sock_address *dialled,
			      const struct sock_address *backend)
{
	struct bpf_sock *sk = ctx->sk;
	struct sock_memory *memory;
	__u64 cookie = bpf_get_socket_cookie(ctx);
	__u32 at;

	if (!sk || !dialled || !backend)
		return;
	memory = bpf_sk_storage_get(&sock_memories, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!memory)
		return;
	memory->cookie = cookie;
	at = memory->next;
	for (__u32 i = 0; i < SOCK_MEMORY_ROWS; i++)
		if (sock_name_is(&memory->rows[i].backend, backend))
			at = i;
	if (at == memory->next)
		memory->next = (at + 1) % SOCK_MEMORY_ROWS;
	sock_name_set(&memory->rows[at % SOCK_MEMORY_ROWS].backend, backend);
	sock_name_set(&memory->rows[at % SOCK_MEMORY_ROWS].dialled, dialled);
}

/* The socket speaks to @to by itself: who answers from there has no other name. */
NOINLINE void sock_memory_forget(struct bpf_sock_addr *ctx, const struct sock_address *to)
{
	struct bpf_sock *sk = ctx->sk;
	struct sock_memory *memory;

	if (!sk || !to)
		return;
	memory = bpf_sk_storage_get(&sock_memories, sk, NULL, 0);
	if (!memory)
		return;
	for (__u32 i = 0; i < SOCK_MEMORY_ROWS; i++)
		if (sock_name_is(&memory->rows[i].backend, to))
			memory->rows[i].backend.port = 0;
}

/*
 * The name of the socket's peer, which sock_peers has forgotten. @peer: as sock_translate_back has it.
 * Returns false when the socket was not pointed there.
 */
NOINLINE bool sock_memory_recall(struct bpf_sock_addr *ctx, struct sock_address *peer, __u64 cookie)
{
	struct bpf_sock *sk = ctx->sk;
	struct sock_memory *memory;
	struct sock_key key;

	if (!sk || !peer || !peer->port || !address_is_known(known_get(), &peer->address))
		return false;
	memory = bpf_sk_storage_get(&sock_memories, sk, NULL, 0);
	if (!memory)
		return false;
	/* What it has says more: the name may be too old. */
	sock_key_set(&key, cookie, &peer->address, peer->port, peer->proto);
	if (bpf_map_lookup_elem(&sock_peers, &key))
		return false;
	for (__u32 i = 0; i < SOCK_MEMORY_ROWS; i++)
		if (sock_name_is(&memory->rows[i].backend, peer)) {
			address_copy(&peer->address, &memory->rows[i].dialled.address);
			peer->port = memory->rows[i].dialled.port;
			return true;
		}
	return false;
}
