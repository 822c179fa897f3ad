/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Plaintext at the doors of a TLS library: after the call, exactly the bytes that it says it moved.
 *
 * A call is remembered per thread together with the stack pointer, which both finds the call a
 * return belongs to and tells a call within a call (SSL_read_ex calling ssl_read_internal, or TLS
 * inside TLS) from its sibling.
 */
#include "lib/goroutines.bpf.h"
#include "lib/payload.bpf.h"
#include "lib/sealers.bpf.h"

#define PR_MSG_PEEK	 2 /* NSPR, prio.h */
#define MAX_NESTED_CALLS 4 /* a power of two */
/* A memory BIO is flushed, or was filled, in the same event loop step. */
#define SAME_STEP_NS 20000000ull

struct tls_call {
	__u64 ssl;
	__u64 buffer;
	/* READ_EX, WRITE_EX: where the length will be. */
	__u64 length_at;
	__u64 stack;
	__u64 written;
	__u64 session;
	/* The struct sock * that the connection is known to use; 0 = none yet. */
	__u64 socket;
};

struct tls_thread {
	__u64 depth;
	struct tls_call calls[MAX_NESTED_CALLS];
	/* Written to a memory BIO and not yet seen on a socket. */
	__u64 pending_ssl;
	__u64 pending_bytes;
	__u64 pending_until_ns;
	/* It has run a goroutine that used TLS. */
	__u64 runs_goroutines;
	/* The last socket that the thread read outside of a call. */
	__u64 received_ns;
	struct peer received_from;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tls_thread);
} MAP(tls_threads);

/* Call number `index`; masked where the compiler cannot see it, as the verifier forgets the bounds.
 */
static __always_inline struct tls_call *call_at(struct tls_thread *thread, __u64 index)
{
	asm volatile("%0 &= %1" : "+r"(index) : "i"(MAX_NESTED_CALLS - 1));
	return &thread->calls[index];
}

/* Remember a call. Calls that are deeper in the stack than this one have ended unseen. */
static __always_inline void push_call(struct tls_thread *thread, struct tls_call *call)
{
	__u64 depth = thread->depth;

	for (int i = 0; i < MAX_NESTED_CALLS; i++) {
		if (!depth || depth > MAX_NESTED_CALLS)
			break;
		if (call_at(thread, depth - 1)->stack > call->stack)
			break;
		depth--;
	}
	thread->depth = depth;
	/*
	 * The same direction again is an inner layer of the same call: the outer one will tell. The
	 * other one is a call of its own: Node writes in the callback of a handshake, inside a
	 * read.
	 */
	if (depth && depth <= MAX_NESTED_CALLS && call_at(thread, depth - 1)->ssl == call->ssl &&
	    call_at(thread, depth - 1)->written == call->written)
		return;
	if (depth >= MAX_NESTED_CALLS) {
		COUNT(CLASS_TLS, map_full, 1);
		return;
	}
	*call_at(thread, depth) = *call;
	thread->depth = depth + 1;
}

static __always_inline bool pop_call(struct tls_thread *thread, __u64 stack, struct tls_call *call)
{
	__u64 depth = thread->depth;

	for (int i = 0; i < MAX_NESTED_CALLS; i++) {
		if (!depth || depth > MAX_NESTED_CALLS)
			return false;
		if (call_at(thread, depth - 1)->stack > stack)
			return false;
		depth--;
		if (call_at(thread, depth)->stack == stack) {
			*call = *call_at(thread, depth);
			thread->depth = depth;
			return true;
		}
	}
	return false;
}

/*
 * NSPR moves bytes of any file, and may only look at them. NSS puts itself as a layer above the
 * file: PRFileDesc.lower, the third pointer (NSPR, prio.h).
 */
static __always_inline bool is_meant(struct pt_regs *ctx, __u64 descriptor)
{
	__u64 hook = bpf_get_attach_cookie(ctx), lower = 0;

	if ((hook & TLS_HOOK_ABI) != TLS_HOOK_READ_LAYERED)
		return true;
	if (hook & TLS_HOOK_FLAGS && PT_REGS_PARM4(ctx) & PR_MSG_PEEK)
		return false;
	bpf_probe_read_user(&lower, sizeof(lower), (void *)(descriptor + 2 * sizeof(lower)));
	return lower;
}

SEC("uprobe")
int tls_enter(struct pt_regs *ctx)
{
	struct tls_call call = {};
	struct tls_thread *thread;
	struct connection *connection;
	bool writing;
	__u32 tgid;

	if (switched_off())
		return 0;
	tgid = bpf_get_current_pid_tgid() >> 32;
	call.session = session_of(tgid);
	if (!call.session && !is_candidate(tgid))
		return 0;
	call.ssl = PT_REGS_PARM1(ctx);
	if (!is_meant(ctx, call.ssl))
		return 0;
	call.buffer = PT_REGS_PARM2(ctx);
	call.length_at = PT_REGS_PARM4(ctx);
	/* Not a choice of an address in `ctx`, which the verifier refuses. */
	barrier_var(call.length_at);
	if (bpf_get_attach_cookie(ctx) & TLS_HOOK_FLAGS)
		call.length_at = PT_REGS_PARM5(ctx);
	call.stack = PT_REGS_SP(ctx);
	writing = bpf_get_attach_cookie(ctx) & TLS_HOOK_WRITTEN;
	call.written = writing;
	connection = connection_of(call.ssl, writing);
	if (!connection || is_muted(connection))
		return 0;
	call.socket = connection->socket;
	thread = bpf_task_storage_get(&tls_threads, bpf_get_current_task_btf(), NULL,
				      BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!thread) {
		COUNT(CLASS_TLS, map_full, 1);
		return 0;
	}
	push_call(thread, &call);
	if (!writing && !call.socket && thread->received_ns &&
	    bpf_ktime_get_ns() - thread->received_ns < SAME_STEP_NS) {
		struct peer peer = thread->received_from;

		bind_peer(call.ssl, &peer);
	}
	return 0;
}

/* What the call says it moved; <= 0: nothing. */
static __always_inline __s64 moved_bytes(struct pt_regs *ctx, struct tls_call *call, __u64 hook)
{
	__u64 length = 0;

	switch (hook & TLS_HOOK_ABI) {
	case TLS_HOOK_READ:
	case TLS_HOOK_READ_LAYERED:
		return (__s32)PT_REGS_RC(ctx);
	case TLS_HOOK_READ_LONG:
		return PT_REGS_RC(ctx);
	}
	if ((__s32)PT_REGS_RC(ctx) <= 0)
		return 0;
	if (bpf_probe_read_user(&length, sizeof(length), (void *)call->length_at)) {
		COUNT(CLASS_TLS, read_faults, 1);
		return 0;
	}
	return length;
}

/* What a call of the current process has moved. */
static __always_inline void emit_plaintext(struct connection *connection, __u64 from, __u64 length,
					   bool written)
{
	emit_payload(connection, session_of(bpf_get_current_pid_tgid() >> 32), from, length,
		     written, SOURCE_TLS);
}

static __always_inline void note_pending(struct tls_thread *thread, __u64 ssl, __u64 bytes,
					 __u64 within_ns)
{
	if (thread->pending_ssl != ssl)
		thread->pending_bytes = 0;
	thread->pending_ssl = ssl;
	thread->pending_bytes += bytes;
	thread->pending_until_ns = bpf_ktime_get_ns() + within_ns;
}

/*
 * Was the peer known when the call began? Then it was known, too, whether the connection is muted;
 * what user space has found out meanwhile holds from the next call on.
 */
static __always_inline bool was_known(struct tls_call *call, struct connection *connection)
{
	return call->socket && call->socket == connection->socket;
}

SEC("uretprobe")
int tls_return(struct pt_regs *ctx)
{
	struct tls_thread *thread;
	struct connection *connection;
	struct tls_call call;
	__u64 hook;
	__s64 moved;
	bool written;

	if (switched_off())
		return 0;
	thread = bpf_task_storage_get(&tls_threads, bpf_get_current_task_btf(), NULL, 0);
	/* The return has popped the return address, where it was pushed. */
	if (!thread || !pop_call(thread, PT_REGS_SP(ctx) - RETURN_ADDRESS_BYTES, &call))
		return 0;
	hook = bpf_get_attach_cookie(ctx);
	written = hook & TLS_HOOK_WRITTEN;
	moved = moved_bytes(ctx, &call, hook);
	if (moved <= 0)
		return 0;
	connection = connection_of(call.ssl, written);
	if (!connection || (!was_known(&call, connection) && is_muted(connection)))
		return 0;
	if (written && !connection->socket)
		note_pending(thread, call.ssl, moved, SAME_STEP_NS);
	if (!call.session)
		call.session = session_of(bpf_get_current_pid_tgid() >> 32);
	emit_payload(connection, call.session, call.buffer, moved, written, SOURCE_TLS);
	return 0;
}

static __noinline int end_connection(__u64 ssl)
{
	struct connection_key key = {.tgid = bpf_get_current_pid_tgid() >> 32, .ssl = ssl};
	struct connection *connection;

	connection = bpf_map_lookup_elem(&connections, &key);
	if (!connection)
		return 0;
	announce_closed(connection);
	bpf_map_delete_elem(&connections, &key);
	return 0;
}

SEC("uprobe")
int tls_free(struct pt_regs *ctx)
{
	return switched_off() ? 0 : end_connection(PT_REGS_PARM1(ctx));
}

/* A TLS record adds at most some 40 bytes; every 16 KiB of plaintext begins a new one. */
static __always_inline bool may_carry(__u64 sent, __u64 plaintext)
{
	return sent >= plaintext && sent <= plaintext + (plaintext / 1024 + 4) * 64;
}

/* The call that the thread is in uses the socket: what goes through it is TLS, and bound to it. */
static __always_inline bool is_socket_of_call(struct tls_thread *thread, struct sock *sk)
{
	__u64 depth = thread->depth;

	return depth && depth <= MAX_NESTED_CALLS &&
	       call_at(thread, depth - 1)->socket == (__u64)sk;
}

/* Bind the connection of the call that the thread is in; false if it is in none. */
static __always_inline bool bind_call(struct tls_thread *thread, struct peer *peer)
{
	__u64 depth = thread->depth;

	if (thread->runs_goroutines && bind_goroutine(peer))
		return true;
	if (!depth || depth > MAX_NESTED_CALLS)
		return false;
	bind_peer(call_at(thread, depth - 1)->ssl, peer);
	return true;
}

/* Something was sent that a call which has ended may have written to a memory BIO. */
static __always_inline void bind_pending(struct tls_thread *thread, struct peer *peer, long bytes)
{
	if (thread->pending_ssl && may_carry(bytes, thread->pending_bytes) &&
	    bpf_ktime_get_ns() < thread->pending_until_ns)
		bind_peer(thread->pending_ssl, peer);
	thread->pending_ssl = 0;
}

/* A TCP socket has moved bytes; returns whether they are known to be TLS. */
static __always_inline bool tls_used(struct sock *sk, long bytes, const bool written)
{
	struct tls_thread *thread =
		bpf_task_storage_get(&tls_threads, bpf_get_current_task_btf(), NULL, 0);
	struct peer peer = {};

	if (!thread && !written && is_sealer())
		thread = bpf_task_storage_get(&tls_threads, bpf_get_current_task_btf(), NULL,
					      BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!thread)
		return false;
	if (is_socket_of_call(thread, sk))
		return true;
	if (!peer_of(sk, &peer) || bind_call(thread, &peer))
		return false;
	if (written) {
		bind_pending(thread, &peer, bytes);
		return false;
	}
	thread->received_from = peer;
	thread->received_ns = bpf_ktime_get_ns();
	return false;
}
