/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How much of a session is recorded, by class: one in so many, and so many a second.
 *
 * What is decided about is what begins: a file that is opened, a connection, a stream. All that
 * follows goes with it. What is left out is counted; user space tells when that began and ended.
 */
#pragma once

#include "ring.bpf.h"
#include "sessions.bpf.h"

#define SECOND_NS 1000000000ull

/* 0 = no limit of this kind. */
struct class_limit {
	__u32 per_second;
	__u32 one_in;
};

/* Looked at only while control.limited is set. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CLASS_COUNT);
	__type(key, __u32);
	__type(value, struct class_limit);
} MAP(class_limits);

struct rate_key {
	__u64 session;
	__u32 class;
	__u32 reserved;
};

struct rate {
	/* The second in the upper half, how many have begun in it in the lower one. */
	__u64 second_and_count;
	__u64 taken;
	__u64 over_rate;
	__u64 not_sampled;
	/* Since when something is left out, with pauses of less than settings.quiet_ns. */
	__u64 since_boot_ns;
	__u64 last_boot_ns;
};

/* User space removes the entries of a session when it ends. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, struct rate_key);
	__type(value, struct rate);
} MAP(rates);

static __always_inline bool within_rate(struct rate *rate, __u32 per_second, __u64 now_ns)
{
	__u64 second = now_ns / SECOND_NS << 32, before = rate->second_and_count;

	if (before >> 32 != second >> 32 &&
	    __sync_val_compare_and_swap(&rate->second_and_count, before, second | 1) == before)
		return true;
	return (__u32)__sync_fetch_and_add(&rate->second_and_count, 1) < per_second;
}

static __noinline bool admits_by_limits(__u64 session, __u32 class)
{
	struct rate_key key = {.session = session, .class = class};
	struct class_limit *limit = bpf_map_lookup_elem(&class_limits, &class);
	struct rate *rate, fresh = {};
	__u64 now_ns;

	if (!session || !limit || (!limit->per_second && limit->one_in < 2))
		return true;
	rate = bpf_map_lookup_elem(&rates, &key);
	if (!rate) {
		bpf_map_update_elem(&rates, &key, &fresh, BPF_NOEXIST);
		rate = bpf_map_lookup_elem(&rates, &key);
	}
	if (!rate) {
		COUNT(class, map_full, 1);
		return true;
	}
	now_ns = bpf_ktime_get_boot_ns();
	if (limit->one_in > 1 && bpf_get_prandom_u32() % limit->one_in) {
		__sync_fetch_and_add(&rate->not_sampled, 1);
	} else if (limit->per_second && !within_rate(rate, limit->per_second, now_ns)) {
		__sync_fetch_and_add(&rate->over_rate, 1);
	} else {
		__sync_fetch_and_add(&rate->taken, 1);
		return true;
	}
	if (now_ns - rate->last_boot_ns > settings.quiet_ns)
		rate->since_boot_ns = now_ns;
	rate->last_boot_ns = now_ns;
	return false;
}

/* Is something of `class` that begins now in `session` to be recorded? */
static __always_inline bool admits(__u64 session, __u32 class)
{
	return !control.limited || admits_by_limits(session, class);
}
