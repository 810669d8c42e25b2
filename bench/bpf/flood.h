/* What load/flood.c sets before it loads bpf/flood.bpf.c. */
#ifndef FLOOD_H
#define FLOOD_H
#include <linux/types.h>

#define FLOOD_MAGIC 0x53554c4642434e48ull /* at the start of the payload */
#define FLOOD_PORTS 32768		  /* source ports used with each source address, from FLOOD_FIRST_PORT */
#define FLOOD_FIRST_PORT 16384
#define FLOOD_LENGTH 60 /* of a frame: the shortest, without its check sequence */
/*
 * Free before a frame beyond the 256 bytes that XDP has: veth copies what has less than 256 when it reaches the sink,
 * and a node may have put 48 bytes of headers before it.
 */
#define FLOOD_HEADROOM 64

struct flood {
	__u8 ethernet[14];
	__u16 port;	   /* destination, network byte order */
	__u32 source;	   /* the first source address, host byte order */
	__u32 destination; /* host byte order */
	__u32 flows;
	__u32 window;  /* packets that may be under way */
	__u32 ifindex; /* the device that frames leave by */
};
#endif
