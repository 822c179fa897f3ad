/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs of which nothing is to be recorded, by file name and user: known here, so that it holds
 * from their first instruction on. What needs more than these two is decided in user space.
 */
#pragma once

#include "ring.bpf.h"
#include "sessions.bpf.h"

#define PROGRAM_NAME_BYTES 64
#define ANY_USER	   0xffffffff

struct excluded_program {
	__u32 uid;
	/* Of the file; empty = every program of the user. */
	char name[PROGRAM_NAME_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct excluded_program);
	__type(value, __u8);
} MAP(excluded_programs);

static __always_inline bool is_excluded(struct excluded_program *key)
{
	return bpf_map_lookup_elem(&excluded_programs, key) != NULL;
}

/* The current process, a member of a session, has executed another program. */
static __noinline int hush_if_excluded(__u32 tgid)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct membership *member = membership_of(tgid);
	struct excluded_program key = {.uid = ANY_USER};

	if (!member || member->quiet)
		return 0;
	bpf_probe_read_kernel_str(key.name, sizeof(key.name),
				  BPF_CORE_READ(task, mm, exe_file, f_path.dentry, d_name.name));
	if (is_excluded(&key))
		goto hush;
	key.uid = bpf_get_current_uid_gid();
	if (is_excluded(&key))
		goto hush;
	__builtin_memset(key.name, 0, sizeof(key.name));
	if (!is_excluded(&key))
		return 0;
hush:
	member->quiet = 1;
	return 0;
}
