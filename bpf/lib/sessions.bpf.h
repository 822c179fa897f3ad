/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which processes are watched. Every program asks here right after the kill switch, before it looks
 * at any data.
 */
#pragma once

struct membership {
	__u64 session;
	/* 1 = a filter wants nothing of it recorded but that it begins, executes and ends. */
	__u32 quiet;
	__u32 reserved;
};

/* Process (tgid) to session. Children inherit in sched_process_fork; user space adds roots. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, struct membership);
} MAP(tracked);

/* Processes in no session whose TLS does not interest; forgotten when they execute or exit. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u8);
} MAP(muted_processes);

static __always_inline struct membership *membership_of(__u32 tgid)
{
	return bpf_map_lookup_elem(&tracked, &tgid);
}

/* The session whose process tree a process is in, whether or not it is to be recorded. */
static __always_inline __u64 tree_of(__u32 tgid)
{
	struct membership *member = membership_of(tgid);

	return member ? member->session : 0;
}

/* The session that what a process does is recorded for; 0 = it is not. */
static __always_inline __u64 session_of(__u32 tgid)
{
	struct membership *member = membership_of(tgid);

	return member && !member->quiet ? member->session : 0;
}

static __always_inline bool is_candidate(__u32 tgid)
{
	return control.discover && !bpf_map_lookup_elem(&muted_processes, &tgid) &&
	       !membership_of(tgid);
}
