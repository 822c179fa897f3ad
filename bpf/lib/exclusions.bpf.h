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

static __always_inline bool is_key_excluded(struct excluded_program *key)
{
	return bpf_map_lookup_elem(&excluded_programs, key) != NULL;
}

/* Is the program of the current process excluded? */
static __noinline bool runs_excluded(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct excluded_program key = {.uid = ANY_USER};

	bpf_probe_read_kernel_str(key.name, sizeof(key.name),
				  BPF_CORE_READ(task, mm, exe_file, f_path.dentry, d_name.name));
	if (is_key_excluded(&key))
		return true;
	key.uid = bpf_get_current_uid_gid();
	if (is_key_excluded(&key))
		return true;
	__builtin_memset(key.name, 0, sizeof(key.name));
	return is_key_excluded(&key);
}

/* The current process has executed another program: it is quiet, or no candidate, from now on. */
static __always_inline void hush_if_excluded(__u32 tgid)
{
	struct membership *member;
	__u8 one = 1;

	if (!control.excludes_programs || !runs_excluded())
		return;
	member = membership_of(tgid);
	if (member) {
		member->quiet = 1;
		memberships_changed();
	} else {
		bpf_map_update_elem(&muted_processes, &tgid, &one, BPF_ANY);
	}
}
