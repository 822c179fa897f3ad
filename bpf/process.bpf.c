/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tree of processes: children inherit the session of their parent before they run, every
 * program that is executed, every end.
 */
#include "process.h"
#include "lib/connections.bpf.h"
#include "lib/exclusions.bpf.h"
#include "lib/familiar.bpf.h"
#include "lib/path.bpf.h"

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_forked, struct task_struct *parent, struct task_struct *child)
{
	struct process_forked *record;
	struct membership *above, member;
	__u32 tgid = FIELD(child, tgid);

	if (switched_off() || FIELD(child, pid) != FIELD(child, tgid))
		return 0;
	above = membership_of(FIELD(parent, tgid));
	if (!above)
		return 0;
	member = *above;
	if (bpf_map_update_elem(&tracked, &tgid, &member, BPF_ANY))
		COUNT(CLASS_PROCESS, map_full, 1);
	memberships_changed();
	record = begin_record(CLASS_PROCESS, RECORD_PROCESS_FORKED, sizeof(*record), 0,
			      member.session);
	if (!record)
		return 0;
	record->header.pid = tgid;
	record->header.tid = tgid;
	record->parent_pid = FIELD(parent, tgid);
	record->reserved = 0;
	record->start_boot_ns = FIELD(child, start_boottime);
	submit_record(CLASS_PROCESS, record, 0);
	return 0;
}

static __always_inline void fill_executed(struct process_executed *record, struct task_struct *task)
{
	struct mm_struct *mm = FIELD(task, mm);

	record->parent_pid = FIELD(task, real_parent, tgid);
	record->uid = bpf_get_current_uid_gid();
	record->start_boot_ns = FIELD(task, group_leader, start_boottime);
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	collect_path(&record->exe, BPF_CORE_READ(mm, exe_file, f_path.mnt),
		     BPF_CORE_READ(mm, exe_file, f_path.dentry));
	collect_path(&record->cwd, BPF_CORE_READ(task, fs, pwd.mnt),
		     BPF_CORE_READ(task, fs, pwd.dentry));
}

#define EXECUTED_IF_FITS(room)                                                         \
	if (bytes <= (room)) {                                                         \
		record = begin_record(CLASS_PROCESS, RECORD_PROCESS_EXECUTED,          \
				      sizeof(*record) + (room), bytes, session);       \
		if (!record)                                                           \
			return 0;                                                      \
		fill_executed(record, task);                                           \
		record->familiar = familiar;                                           \
		record->reserved = 0;                                                  \
		record->argv_bytes = bytes;                                            \
		record->argv_total_bytes = total;                                      \
		clamped = bytes;                                                       \
		CLAMP(clamped, room);                                                  \
		if (bpf_probe_read_user(record->argv, clamped, (void *)start)) {       \
			discard_unreadable(CLASS_PROCESS, record, bytes);              \
			return 0;                                                      \
		}                                                                      \
		/* A rule may match, or libraries are to be hooked, in time. */        \
		submit_record_as(CLASS_PROCESS, record, bytes, !session || !familiar); \
		return 0;                                                              \
	}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_executed, struct task_struct *task, int old_pid, void *bprm)
{
	struct process_executed *record;
	__u32 tgid = FIELD(task, tgid), limit = settings.max_argv_bytes;
	__u64 session, start, clamped;
	__u32 total, bytes;
	bool familiar;

	if (switched_off())
		return 0;
	bpf_map_delete_elem(&muted_processes, &tgid);
	session = tree_of(tgid);
	if (!session) {
		if (!control.discover)
			return 0;
		limit = settings.max_discovered_argv_bytes;
	}
	hush_if_excluded(tgid);
	familiar = begins_familiar(tgid);
	/* A new container: nobody has looked at its libraries, and they may be used soon. */
	if (FIELD(task, signal, flags) & SIGNAL_UNKILLABLE)
		hurry_at_once();
	start = BPF_CORE_READ(task, mm, arg_start);
	total = BPF_CORE_READ(task, mm, arg_end) - start;
	bytes = total < limit ? total : limit;
	if (familiar && !session && !bpf_map_lookup_elem(&talkers, &tgid) &&
	    !may_be_wanted(start, bytes)) {
		COUNT(CLASS_PROCESS, filtered, 1);
		return 0;
	}
	if (bytes < total && session) {
		COUNT(CLASS_PROCESS, truncated, 1);
		COUNT(CLASS_PROCESS, truncated_bytes, total - bytes);
	}
	EXECUTED_IF_FITS(512);
	EXECUTED_IF_FITS(4096);
	EXECUTED_IF_FITS(65536);
	return 0;
}

static __always_inline __u32 wait_status(struct task_struct *task)
{
	if (FIELD(task, signal, flags) & SIGNAL_GROUP_EXIT)
		return FIELD(task, signal, group_exit_code);
	return FIELD(task, group_leader, exit_code);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exited, struct task_struct *task)
{
	struct process_exited *record;
	__u32 tgid = FIELD(task, tgid), status;
	__u64 session;
	bool talked;

	/* The process ends with its last thread, which need not be its first. */
	if (switched_off() || FIELD(task, signal, live.counter))
		return 0;
	session = tree_of(tgid);
	talked = !bpf_map_delete_elem(&talkers, &tgid);
	bpf_map_delete_elem(&networkers, &tgid);
	bpf_map_delete_elem(&muted_processes, &tgid);
	/* Two last threads may both see the count 0: who deletes the entry tells. */
	if (session ? bpf_map_delete_elem(&tracked, &tgid) : !talked)
		return 0;
	if (session) {
		memberships_changed();
		end_descriptors_of(tgid);
		end_gpu_user(tgid, 0);
		end_gpu_user(tgid, 1);
	}
	record = begin_record(CLASS_PROCESS, RECORD_PROCESS_EXITED, sizeof(*record), 0, session);
	if (!record)
		return 0;
	status = wait_status(task);
	record->exit_code = (status >> 8) & 0xff;
	record->exit_signal = status & 0x7f;
	record->duration_ns = bpf_ktime_get_boot_ns() - FIELD(task, group_leader, start_boottime);
	submit_record(CLASS_PROCESS, record, 0);
	return 0;
}
