/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Plaintext of Go's crypto/tls, which has calling conventions and stacks of its own.
 *
 * A return probe would write into a stack that Go moves, so the ends of Read are hooked at its RET
 * instructions. Arguments and results are in registers (include/registers.h).
 *
 * What is written is taken when Write begins, behind its check of the stack, which may run twice:
 * the end of Write may come after another thread has read the answer.
 */
#include "lib/goroutines.bpf.h"

/* The socket programs look for calls of goroutines on such threads only. */
static __always_inline void mark_go_thread(void)
{
	struct tls_thread *thread = bpf_task_storage_get(&tls_threads, bpf_get_current_task_btf(),
							 NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (thread)
		thread->runs_goroutines = true;
	else
		COUNT(CLASS_TLS, map_full, 1);
}

static __always_inline int go_call_begins(struct pt_regs *ctx, __u32 tgid, bool writing)
{
	struct go_call_key key = {.tgid = tgid, .goroutine = GO_GOROUTINE(ctx)};
	struct go_call call = {
		.connection = GO_ARG1(ctx),
		.buffer = GO_ARG2(ctx),
		.writing = writing,
	};
	struct connection *connection = connection_of(call.connection, writing);

	if (!connection || is_muted(connection))
		return 0;
	mark_go_thread();
	if (bpf_map_update_elem(&go_calls, &key, &call, BPF_ANY))
		COUNT(CLASS_TLS, map_full, 1);
	if (writing && (__s64)GO_ARG3(ctx) > 0)
		emit_plaintext(connection, call.buffer, GO_ARG3(ctx), true);
	return 0;
}

static __always_inline int go_read_ends(struct pt_regs *ctx, __u32 tgid)
{
	struct go_call_key key = {.tgid = tgid, .goroutine = GO_GOROUTINE(ctx)};
	struct go_call *found = bpf_map_lookup_elem(&go_calls, &key), call;
	struct connection *connection;

	if (!found || found->writing)
		return 0;
	call = *found;
	bpf_map_delete_elem(&go_calls, &key);
	if ((__s64)GO_RESULT(ctx) <= 0)
		return 0;
	connection = connection_of(call.connection, false);
	if (!connection || is_muted(connection))
		return 0;
	emit_plaintext(connection, call.buffer, GO_RESULT(ctx), false);
	return 0;
}

SEC("uprobe")
int tls_go(struct pt_regs *ctx)
{
	__u64 hook = bpf_get_attach_cookie(ctx);
	__u32 tgid;

	if (switched_off())
		return 0;
	tgid = bpf_get_current_pid_tgid() >> 32;
	if (!session_of(tgid) && !is_candidate(tgid))
		return 0;
	if (hook == TLS_HOOK_GO_READ)
		return go_call_begins(ctx, tgid, false);
	if (hook == TLS_HOOK_GO_WRITE)
		return go_call_begins(ctx, tgid, true);
	if (hook == TLS_HOOK_GO_READ_END)
		return go_read_ends(ctx, tgid);
	return end_connection(GO_ARG1(ctx));
}
