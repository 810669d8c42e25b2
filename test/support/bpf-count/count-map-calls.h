/*
 * Included before everything else when the programs are compiled to have their map operations counted:
 * each leaves its map's name behind. The build that is shipped does not know of it.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define MAP_CALLS 64	 /* a power of two: later ones overwrite the first */
#define MAP_CALL_NAME 28 /* of `&map`, with its zero */

struct map_call {
	char operation;
	char name[MAP_CALL_NAME + 3];
};

struct {
	__u32 count;
	struct map_call calls[MAP_CALLS];
} map_calls;

/*
 * The barriers keep the compiler from loading early what it then has to put aside: programs have little of the stack to
 * spare.
 */
#define MAP_CALL(op, map)                                                                                              \
	({                                                                                                             \
		struct map_call *call = &map_calls.calls[map_calls.count++ & (MAP_CALLS - 1)];                         \
		asm volatile("" ::: "memory");                                                                         \
		_Static_assert(sizeof(#map) <= MAP_CALL_NAME, "the name of a map");                                    \
		call->operation = op;                                                                                  \
		__builtin_memcpy(call->name, #map, sizeof(#map));                                                      \
		asm volatile("" ::: "memory");                                                                         \
	})

#define bpf_map_lookup_elem(map, key) (MAP_CALL('?', map), bpf_map_lookup_elem(map, key))
#define bpf_map_update_elem(map, key, value, flags) (MAP_CALL('+', map), bpf_map_update_elem(map, key, value, flags))
#define bpf_map_delete_elem(map, key) (MAP_CALL('-', map), bpf_map_delete_elem(map, key))
