/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What processes of sessions read from standard input and write to standard output and error,
 * where these are pipes or socket pairs: MCP servers are spoken to like that.
 *
 * Called by the program after every system call. A pipe that shows no JSON-RPC is switched off for
 * its life, here by its first bytes or by user space. Duplicates of a standard descriptor count as
 * it: servers keep one for themselves and divert the original, so that no print() gets between the
 * messages. Not seen: splice and io_uring.
 */
#pragma once

#include "lib/payload.bpf.h"
#include "lib/vectors.bpf.h"

/* A server may say a few words before it speaks JSON-RPC. */
#define MAX_STRIKES 8
/* Taken of a direction before user space has said that it is wanted. */
#define MAX_UNJUDGED_BYTES (1u << 20)

struct stdio_descriptor {
	__u32 tgid;
	__s32 fd;
};

/* What a descriptor became by dup(), until the process executes another program. */
struct stdio_duplicate {
	__u64 program;
	/* 0 to 2, or DIVERTED */
	__s32 standard;
	__u32 reserved;
};

#define DIVERTED -1

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct stdio_descriptor);
	__type(value, struct stdio_duplicate);
} MAP(stdio_duplicates);

/* Which of the three standard descriptors `fd` is: 0 to 2, or DIVERTED. */
static __always_inline __s32 standard_of(__u32 tgid, __s32 fd)
{
	struct stdio_descriptor key = {.tgid = tgid, .fd = fd};
	struct stdio_duplicate *duplicate = bpf_map_lookup_elem(&stdio_duplicates, &key);

	if (duplicate && duplicate->program == current_program())
		return duplicate->standard;
	return fd >= 0 && fd <= 2 ? fd : DIVERTED;
}

static __noinline int note_duplicate(__s32 from, __s32 to)
{
	struct stdio_descriptor key = {.tgid = bpf_get_current_pid_tgid() >> 32, .fd = to};
	struct stdio_duplicate duplicate = {.standard = standard_of(key.tgid, from)};

	if (duplicate.standard == to || (duplicate.standard == DIVERTED && to > 2)) {
		bpf_map_delete_elem(&stdio_duplicates, &key);
		return 0;
	}
	duplicate.program = current_program();
	bpf_map_update_elem(&stdio_duplicates, &key, &duplicate, BPF_ANY);
	return 0;
}

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

static __always_inline void stdio_bytes_moved(struct pt_regs *regs, __u32 tgid, __u64 session,
					      long result)
{
	struct stdio_call call = {.request.session = session, .fd = SYSCALL_ARG1(regs)};
	__s32 standard;

	if (!find_moved(SYSCALL_NUMBER(regs), SYSCALL_ARG2(regs), SYSCALL_ARG3(regs), result,
			&call.request.moved))
		return;
	standard = standard_of(tgid, call.fd);
	if (standard == DIVERTED || (standard == 2 && !control.output_bytes))
		return;
	call.request.written = moves_out(SYSCALL_NUMBER(regs));
	/* Only the three as everybody uses them: a terminal is read from and written to by all. */
	if (call.request.written != (standard != 0))
		return;
	call.request.ssl = standard == 2 ? STDERR_KEY : STDIO_KEY;
	call.request.source = standard == 2 ? SOURCE_STDERR : SOURCE_STDIO;
	stdio_moved(&call);
}

/* A system call of a tracked process has succeeded. */
static __always_inline void stdio_call_ended(struct pt_regs *regs, __u32 tgid, __u64 session,
					     long result)
{
	struct stdio_descriptor key = {.tgid = tgid, .fd = SYSCALL_ARG1(regs)};

	switch (SYSCALL_NUMBER(regs)) {
	case __NR_fcntl:
		if (SYSCALL_ARG2(regs) != F_DUPFD && SYSCALL_ARG2(regs) != F_DUPFD_CLOEXEC)
			return;
		/* fallthrough */
	case __NR_dup:
	case __NR_dup2:
	case __NR_dup3:
		note_duplicate(SYSCALL_ARG1(regs), result);
		return;
	case __NR_close:
		if (key.fd > 2)
			bpf_map_delete_elem(&stdio_duplicates, &key);
		return;
	}
	if (result > 0)
		stdio_bytes_moved(regs, tgid, session, result);
}
