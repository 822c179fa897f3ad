/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * System calls that fail because a limit is reached: of descriptors, memory, processes, space.
 *
 * Included by file.bpf.c, whose program asks here when a call has failed. A program that tries
 * again and again is told at the 1st, 2nd, 4th, 8th... time.
 */

#include "lib/connections.bpf.h"
#include "signals.h"

#define E_AGAIN 11
#define E_NOMEM 12
#define E_NFILE 23
#define E_MFILE 24
#define E_FBIG	27
#define E_NOSPC 28
#define E_DQUOT 122

struct limit_key {
	__u32 tgid;
	__u16 call;
	__u16 error;
};

struct limit_count {
	__u64 program; /* a process number may be given again */
	__u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct limit_key);
	__type(value, struct limit_count);
} MAP(limits);

static __always_inline bool is_limit(__u64 call, long error)
{
	switch (error) {
	case E_NOMEM:
	case E_NFILE:
	case E_MFILE:
	case E_FBIG:
	case E_NOSPC:
	case E_DQUOT:
		return true;
	case E_AGAIN: /* elsewhere it means: not now */
		return call == __NR_clone || call == __NR_clone3 || call == __NR_fork ||
		       call == __NR_vfork;
	}
	return false;
}

static __noinline int emit_limit(__u64 session, __u64 call, __u64 error)
{
	struct limit_key key = {
		.tgid = bpf_get_current_pid_tgid() >> 32, .call = call, .error = error};
	struct limit_count *known, fresh = {.program = current_program()};
	struct limit_hit *record;
	__u64 count;

	known = bpf_map_lookup_elem(&limits, &key);
	if (!known || known->program != fresh.program) {
		bpf_map_update_elem(&limits, &key, &fresh, BPF_ANY);
		known = bpf_map_lookup_elem(&limits, &key);
		if (!known)
			return 0;
	}
	count = __sync_fetch_and_add(&known->count, 1) + 1;
	if (count & (count - 1))
		return 0;
	record = begin_record(CLASS_PROCESS, RECORD_LIMIT_HIT, sizeof(*record), 0, session);
	if (!record)
		return 0;
	record->call = call;
	record->error = error;
	record->count = count;
	submit_record(CLASS_PROCESS, record, 0);
	return 0;
}

static __always_inline void call_failed(struct pt_regs *regs, __u64 session, long result)
{
	if (is_limit(SYSCALL_NUMBER(regs), -result))
		emit_limit(session, SYSCALL_NUMBER(regs), -result);
}
