/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What processes of sessions read from standard input and write to standard output and error,
 * where these are pipes or socket pairs: MCP servers are spoken to like that.
 *
 * Called by the program after every system call. A pipe that shows no JSON-RPC is switched off for
 * its life, here by its first bytes or by user space. Not seen: descriptors that are duplicates of
 * the standard ones, splice and io_uring.
 */
#pragma once

#include "lib/payload.bpf.h"
#include "lib/vectors.bpf.h"

/* In the place of an SSL object's address, which is never so small. */
#define STDIO_KEY  1
#define STDERR_KEY 2

#define S_IFMT	 0170000
#define S_IFIFO	 0010000
#define S_IFSOCK 0140000

/* A server may say a few words before it speaks JSON-RPC. */
#define MAX_STRIKES 8
/* Taken of a direction before user space has said that it is wanted. */
#define MAX_UNJUDGED_BYTES (1u << 20)

static __always_inline bool is_pipe(__u32 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file **files, *file;
	__u32 mode;

	files = BPF_CORE_READ(task, files, fdt, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), files + fd) || !file)
		return false;
	mode = BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT;
	return mode == S_IFIFO || mode == S_IFSOCK;
}

struct stdio_call {
	struct moved_request request;
	__u32 fd;
	__u32 reserved;
};

/* Begins a JSON text that an object or a batch is. */
static __always_inline bool may_be_rpc(struct moved_bytes *moved)
{
	__u8 first = 0;

	return !bpf_probe_read_user(&first, 1, (void *)first_byte_of(moved)) &&
	       (first == '{' || first == '[');
}

static __always_inline void leave_out(__u64 bytes)
{
	COUNT(CLASS_STDIO, filtered, 1);
	COUNT(CLASS_STDIO, filtered_bytes, bytes);
}

/* Is this call to be taken? Unwanted ones are counted. */
static __always_inline bool is_wanted(struct connection *connection, struct stdio_call *call)
{
	__u32 begun = call->request.written ? CONNECTION_BEGUN_WRITTEN : CONNECTION_BEGUN_READ;
	__u32 limit = control.output_bytes ? control.output_bytes : MAX_UNJUDGED_BYTES;
	__u64 id = connection->id;
	__u8 *verdict = bpf_map_lookup_elem(&muted_connections, &id);

	if (verdict && *verdict == VERDICT_WANTED)
		return true;
	if (!verdict && !(connection->flags & begun) && !control.output_bytes &&
	    !may_be_rpc(&call->request.moved)) {
		leave_out(call->request.moved.bytes);
		if (++connection->strikes >= MAX_STRIKES)
			connection->flags |= CONNECTION_OFF;
		return false;
	}
	if (verdict || connection->unjudged_bytes + call->request.moved.bytes > limit) {
		leave_out(call->request.moved.bytes);
		connection->flags |= CONNECTION_OFF;
		return false;
	}
	connection->unjudged_bytes += call->request.moved.bytes;
	connection->flags |= begun;
	return true;
}

static __noinline int stdio_moved(struct stdio_call *call)
{
	__u32 checked =
		call->request.written ? CONNECTION_CHECKED_WRITTEN : CONNECTION_CHECKED_READ;
	__u32 off = call->request.written ? CONNECTION_OFF_WRITTEN : CONNECTION_OFF_READ;
	struct connection *connection;

	connection = connection_of(call->request.ssl, false);
	if (!connection || connection->flags & off)
		return 0;
	if (!(connection->flags & checked)) {
		connection->flags |= checked;
		if (!is_pipe(call->fd)) {
			connection->flags |= off;
			return 0;
		}
	}
	if (is_wanted(connection, call))
		emit_moved(connection, &call->request);
	return 0;
}

/* A system call of a tracked process has moved `result` bytes. */
static __always_inline void stdio_call_ended(struct pt_regs *regs, __u64 session, long result)
{
	struct stdio_call call = {.request.session = session, .fd = regs->rdi};

	if (call.fd > 2 || (call.fd == 2 && !control.output_bytes))
		return;
	call.request.written = moves_out(regs->orig_rax);
	/* Only the three as everybody uses them: a terminal is read from and written to by all. */
	if (call.request.written != (call.fd != 0))
		return;
	call.request.ssl = call.fd == 2 ? STDERR_KEY : STDIO_KEY;
	call.request.source = call.fd == 2 ? SOURCE_STDERR : SOURCE_STDIO;
	if (find_moved(regs->orig_rax, regs->rsi, regs->rdx, result, &call.request.moved))
		stdio_moved(&call);
}
