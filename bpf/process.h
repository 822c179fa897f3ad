/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of processes: born, executing a program, gone. */
#pragma once

#include "path.h"
#include "lib/record.h"

struct process_forked {
	struct record_header header; /* pid: the child */
	__u32 parent_pid;
	__u32 reserved;
	__u64 start_boot_ns;
};

struct process_executed {
	struct record_header header;
	__u32 parent_pid;
	__u32 uid;
	__u64 start_boot_ns;
	char comm[16];
	/* 1 = user space knows the program and need not look at it. */
	__u32 familiar;
	__u32 reserved;
	struct path_area exe;
	struct path_area cwd;
	/* Bytes of `argv`: strings, each ended by a zero byte. */
	__u32 argv_bytes;
	/* How long it really was. */
	__u32 argv_total_bytes;
	char argv[];
};

/* A process of a familiar program opens its first connection or port. */
struct process_networked {
	struct record_header header;
};

struct process_exited {
	struct record_header header;
	__u32 exit_code;
	__u32 exit_signal;
	__u64 duration_ns;
};
