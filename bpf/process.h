/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of processes: born, executing a program, gone. */
#pragma once

#include "lib/record.h"

/* Room for one path; longer ones are reported as incomplete. */
#define PATH_AREA_BYTES 1024

struct process_forked {
	struct record_header header; /* pid: the child */
	__u32 parent_pid;
	__u32 reserved;
	__u64 start_boot_ns;
};

/* A path as its components from the last to the first, each ended by a zero byte. */
struct path_area {
	__u32 bytes;
	__u16 components;
	/* 0 = longer or deeper than there is room: do not use it */
	__u16 complete;
	char reversed[PATH_AREA_BYTES];
};

struct process_executed {
	struct record_header header;
	__u32 parent_pid;
	__u32 uid;
	__u64 start_boot_ns;
	char comm[16];
	struct path_area exe;
	struct path_area cwd;
	/* Bytes of `argv`: strings, each ended by a zero byte. */
	__u32 argv_bytes;
	/* How long it really was. */
	__u32 argv_total_bytes;
	char argv[];
};

struct process_exited {
	struct record_header header;
	__u32 exit_code;
	__u32 exit_signal;
	__u64 duration_ns;
};
