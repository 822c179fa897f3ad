/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Signals to and from processes of sessions, and processes that the kernel kills for memory.
 *
 * Left out: signals of threads to their own process that runtimes use among themselves (SIGURG and
 * real-time ones), and those of the kernel that are no faults (children, windows, timers).
 */
#include "signals.h"
#include "lib/ring.bpf.h"
#include "lib/sessions.bpf.h"

#define SIG_URG	 23
#define FIRST_RT 32

/* SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS */
#define FAULTS                                                                                \
	(1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 7 | 1ull << 8 | 1ull << 9 | 1ull << 11 | \
	 1ull << 24 | 1ull << 25 | 1ull << 31)

static __always_inline bool is_of_kernel(struct kernel_siginfo *info)
{
	int code = 0;

	if ((__u64)info <= (__u64)SEND_SIG_PRIV)
		return (__u64)info == (__u64)SEND_SIG_PRIV;
	bpf_probe_read_kernel(&code, sizeof(code),
			      (void *)info + bpf_core_field_offset(struct kernel_siginfo, si_code));
	return code > 0;
}

SEC("tp_btf/signal_generate")
int BPF_PROG(signal_generated, int signal, struct kernel_siginfo *info, struct task_struct *task,
	     int group, int result)
{
	__u32 sender = bpf_get_current_pid_tgid() >> 32, target = FIELD(task, tgid);
	bool kernel = is_of_kernel(info);
	struct signal_sent *record;
	__u64 session;

	if (switched_off() || signal <= 0 || signal > 64)
		return 0;
	if (kernel && (signal >= FIRST_RT || !(FAULTS & 1ull << signal)))
		return 0;
	if (!kernel && sender == target && (signal == SIG_URG || signal >= FIRST_RT))
		return 0;
	session = kernel ? 0 : session_of(sender);
	if (!session) {
		session = session_of(target);
		if (!session)
			return 0;
	}
	record = begin_record(CLASS_PROCESS, RECORD_SIGNAL_SENT, sizeof(*record), 0, session);
	if (!record)
		return 0;
	if (kernel || !session_of(sender)) {
		record->header.pid = target;
		record->header.tid = FIELD(task, pid);
	}
	record->sender_pid = kernel ? 0 : sender;
	record->target_pid = target;
	record->signal = signal;
	record->result = result;
	submit_record(CLASS_PROCESS, record, 0);
	return 0;
}

/* The argument is the task since 6.8, its number before: read by hand, so that both load. */
SEC("raw_tp/mark_victim")
int process_killed_for_memory(struct bpf_raw_tracepoint_args *context)
{
	__u64 argument = context->args[0], session;
	struct task_struct *task = (void *)argument;
	struct oom_killed *record;
	__u32 tgid = argument;

	if (switched_off())
		return 0;
	if (argument >> 32)
		tgid = BPF_CORE_READ(task, tgid);
	session = session_of(tgid);
	if (!session)
		return 0;
	record = begin_record(CLASS_PROCESS, RECORD_OOM_KILLED, sizeof(*record), 0, session);
	if (!record)
		return 0;
	record->header.pid = tgid;
	record->header.tid = tgid;
	submit_record(CLASS_PROCESS, record, 0);
	return 0;
}
