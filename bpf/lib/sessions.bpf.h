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

/*
 * How often the programs have changed `tracked`; `control.memberships`: how often user space has.
 * Counted after the change, and read before a look-up: what is kept is never older than its count.
 */
__u64 MAP_VALUE(turnover, ".bss.turnover");

/*
 * What was last asked for on a CPU. `seal` is the session, mixed with the process and the counts of
 * changes: a program that comes in between the two loads of another one, or between its stores,
 * makes them not fit.
 */
struct last_session {
	__u64 session;
	__u64 seal;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct last_session);
} MAP(last_sessions);

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

static __always_inline void memberships_changed(void)
{
	__u64 before = __sync_fetch_and_add(&turnover, 1);

	/* Only an addition whose result is used keeps the change before it. */
	barrier_var(before);
}

/* Tells processes and counts of changes apart; mixed, so that no session is their difference. */
static __always_inline __u64 seal_of(__u32 tgid, __u64 changes)
{
	return (((__u64)tgid << 40) ^ (changes + control.memberships)) * 0x9e3779b97f4a7c15ull;
}

static __always_inline __u64 recorded_session_of(__u32 tgid)
{
	struct membership *member = membership_of(tgid);

	return member && !member->quiet ? member->session : 0;
}

/* Look a session up and keep it. */
static __always_inline __u64 looked_up_session(volatile struct last_session *last, __u32 tgid)
{
	/* Atomic, so that the look-up comes after the counts. */
	__u64 seal = seal_of(tgid, __sync_fetch_and_add(&turnover, 0));
	__u64 session = recorded_session_of(tgid);

	last->session = session;
	last->seal = session ^ seal;
	return session;
}

/*
 * The session that what a process does is recorded for; 0 = it is not. Nearly always it is asked
 * again about the same process, and a look-up of `tracked` is most of what a call of no interest
 * costs.
 */
static __always_inline __u64 session_of(__u32 tgid)
{
	__u32 zero = 0;
	volatile struct last_session *last;
	__u64 session;

	if (!CAN_REMEMBER)
		return recorded_session_of(tgid);
	last = bpf_map_lookup_elem(&last_sessions, &zero);
	if (!last)
		return 0;
	session = last->session;
	if ((session ^ last->seal) == seal_of(tgid, *(volatile __u64 *)&turnover))
		return session;
	return looked_up_session(last, tgid);
}

/*
 * Of a process for which `session_of` has said 0: is it to be watched all the same? While it is
 * looked at for whether it is an agent, yes; and if it is a member by now. User space makes it one
 * before it counts the change, and in between what is remembered is old.
 */
static __always_inline bool is_candidate(__u32 tgid)
{
	struct membership *member = membership_of(tgid);

	if (member)
		return !member->quiet;
	return control.discover && !bpf_map_lookup_elem(&muted_processes, &tgid);
}
