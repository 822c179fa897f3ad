/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How many descriptors of each process are summed up, so that the end of a process finds them
 * without a look at those of all others.
 */
#pragma once

#include "ring.bpf.h"

struct holder {
	__u32 count;
	__u32 highest_fd;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, struct holder);
} MAP(holders);

ZEROED(struct holder, no_holder);

/* There is an entry for `fd` more; false and counted if there is no room for its process. */
static __always_inline bool hold_descriptor(__u32 class, __u32 tgid, __u32 fd)
{
	struct holder *holder = bpf_map_lookup_elem(&holders, &tgid);

	if (!holder) {
		bpf_map_update_elem(&holders, &tgid, &no_holder, BPF_NOEXIST);
		holder = bpf_map_lookup_elem(&holders, &tgid);
	}
	if (!holder) {
		COUNT(class, map_full, 1);
		return false;
	}
	__sync_fetch_and_add(&holder->count, 1);
	/* Two threads may write at once: then the end looks at all descriptors. */
	if (fd > holder->highest_fd)
		holder->highest_fd = fd;
	return true;
}

/* An entry has been deleted. */
static __always_inline void let_go_descriptor(__u32 tgid)
{
	struct holder *holder = bpf_map_lookup_elem(&holders, &tgid);

	if (holder)
		__sync_fetch_and_add(&holder->count, -1);
}
