/* What packet/wrapper.ts writes for bpf/restore.bpf.c. */
#ifndef RESTORE_H
#define RESTORE_H
#include <linux/types.h>

#define FRAME_BYTES 80 /* of every frame: room for IPv6 and TCP */
#define CALLS 8	       /* that calls_xdp makes */

struct image {
	__u32 source;	 /* offset of the source port that each run raises by one; 0: all runs have the same packet */
	__u32 check;	 /* offset of the transport checksum */
	__u8 bytes[136]; /* of them FRAME_BYTES are the frame */
};
#endif
