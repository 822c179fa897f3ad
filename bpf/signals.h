/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of signals, of limits that system calls ran into, and of processes killed for memory. */
#pragma once

#include "lib/record.h"

struct signal_sent {
	struct record_header header; /* pid: the process of the session, the sender if both are */
	__u32 sender_pid;	     /* 0 = the kernel */
	__u32 target_pid;
	__u32 signal;
	/* enum of TRACE_SIGNAL_*: 0 delivered, 1 ignored, 2 already pending, 3 and 4 no room */
	__u32 result;
};

struct limit_hit {
	struct record_header header;
	__u32 call;
	__s32 error; /* errno */
	/* How often so far; told at the 1st, 2nd, 4th, 8th... */
	__u64 count;
};

struct oom_killed {
	struct record_header header; /* pid: the victim */
};
