/* Kernel types, helpers and the maps, for every program of Sluice. */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SLUICE_MAPS
#include "schema.h"

#define INLINE static __always_inline
/* A function of its own in the object: paths that are taken once per flow. */
#define NOINLINE static __attribute__((noinline, unused))
/* The same, verified once for all its callers: takes the context and numbers only (kernel 5.6). */
#define GLOBAL __attribute__((noinline))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define AF_INET 2
#define AF_INET6 10

/* Errors that a refused system call returns. */
#define ECONNREFUSED 111
#define EADDRINUSE 98

/*
 * Set by the agent before the object is loaded; .rodata is frozen then, so that the verifier
 * removes what a knob turns off.
 */
const volatile struct knobs knobs SEC(".rodata") = {};
