/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose a socket is; kept in the socket. */
#pragma once

#include "sessions.bpf.h"

/* 0.1 to 1 s, by the configuration of the kernel. */
#define LOOK_JIFFIES 100
/* A connection that is used is told about this often. */
#define SAMPLE_NS 5000000000ull

struct socket_origin {
	__u64 session;
	__u64 since_boot_ns;
	__u64 cgroup;
	__u32 tgid;
	__u32 tid;
	/* The connected record was for somebody: there will be a closed one. */
	__u32 established;
	/* The socket listens, or was made by one that does. */
	__u32 listens;
	__u64 looked_jiffies;
	__u64 told_boot_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct socket_origin);
} MAP(socket_origins);
