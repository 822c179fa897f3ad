/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The programs as source for BCC, on kernels without BTF: the words of include/core.h.
 *
 * User space has made the maps and puts a definition of each in the place of the comment "maps".
 * BCC 0.26 has no functions of their own and no callbacks: everything is inlined and loops have
 * bounds. Fields are read at the offsets of the node's kernel headers. Programs of tracepoints get
 * untyped arguments (raw_tracepoint), so there is no storage inside of tasks and sockets.
 */
#pragma once

#ifdef AGENTSIGHT_LAYOUT
#include <asm/ptrace.h>
#include "constants.h"
#include AGENTSIGHT_LAYOUT
#else
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/fdtable.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/mm_types.h>
#include <linux/mount.h>
#include <uapi/linux/mman.h>
#include <linux/tcp.h>
#include <net/inet_sock.h>
#include <net/sock.h>

/* fs/mount.h is not among the headers; these have been its first fields since 3.13. */
struct mount {
	struct hlist_node mnt_hash;
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};
#endif

#include "registers.h"

/* Memory that programs begin values with, and that they write what nobody reads to. */
char declared_zeros[1024], declared_scratch[1024];

/* maps */

#define SEC(section)
#define __uint(name, value)	 int(*name)[value]
#define __type(name, value)	 typeof(value) *name
#define MAP(name)		 declared_##name
#define MAP_VALUE(name, section) declared_##name
#define ZEROED(type, name)	 struct declared_##name

#define SCRATCH(name, bytes) char *name = (void *)scratch

#define no_file	  (*(struct open_file *)zeros)
#define no_holder (*(struct holder *)zeros)

#undef __noinline
#define __noinline __always_inline
#define SUBPROGRAM static __always_inline

#define READ_1(from, a)                                                     \
	({                                                                  \
		typeof((from)->a) value_;                                   \
		bpf_probe_read_kernel(&value_, sizeof(value_), &(from)->a); \
		value_;                                                     \
	})
#define READ_2(from, a, b)		   READ_1(READ_1(from, a), b)
#define READ_3(from, a, b, c)		   READ_1(READ_2(from, a, b), c)
#define READ_4(from, a, b, c, d)	   READ_1(READ_3(from, a, b, c), d)
#define COUNTED(_1, _2, _3, _4, name, ...) name
#define FIELD(from, ...)		   COUNTED(__VA_ARGS__, READ_4, READ_3, READ_2, READ_1)(from, __VA_ARGS__)
#define BPF_CORE_READ			   FIELD
#define BPF_CORE_READ_INTO(to, from, a)	   bpf_probe_read_kernel(to, sizeof(*(to)), &(from)->a)
#define bpf_core_field_offset		   offsetof

/* Names of registers as in user space's <asm/ptrace.h>. */
#define orig_rax orig_ax
#define rax	 ax
#define rbx	 bx
#define rcx	 cx
#define rdx	 dx
#define rsi	 si
#define rdi	 di

#define USE_REGISTERS(name)                                             \
	struct pt_regs name##_copy;                                     \
	bpf_probe_read_kernel(&name##_copy, sizeof(name##_copy), name); \
	name = &name##_copy
#define CALL_REGISTERS(name)                                                                    \
	struct pt_regs *name =                                                                  \
		(struct pt_regs *)(FIELD(bpf_get_current_task_btf(), stack) + THREAD_SIZE) - 1; \
	USE_REGISTERS(name)

#define bpf_get_current_task_btf() ((struct task_struct *)bpf_get_current_task())
/* The address tells sockets apart as well as the cookie, which is only for typed arguments. */
#define bpf_get_socket_cookie(sk) ((__u64)(sk))

static __always_inline void *stored(void *map, __u64 key, __u64 create)
{
	void *value = bpf_map_lookup_elem(map, &key);

	if (value || !create)
		return value;
	bpf_map_update_elem(map, &key, zeros, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, &key);
}

static __always_inline long unstored(void *map, __u64 key)
{
	return bpf_map_delete_elem(map, &key);
}

#define bpf_task_storage_get(map, task, value, flags) stored(map, bpf_get_current_pid_tgid(), flags)
#define bpf_sk_storage_get(map, sk, value, flags)     stored(map, (__u64)(sk), flags)
#define bpf_sk_storage_delete(map, sk)		      unstored(map, (__u64)(sk))

/* The verifier goes through every turn of a loop. */
#define MAX_TURNS	 64
#define MAX_PIECES	 MAX_TURNS
#define MAX_MOVED_PIECES 16
/* All that is done after a system call is too much for one program. */
#define CALLS_IN_ONE_PROGRAM 0
/* The arguments of a program have more bytes than loops may have turns. */
#define CAN_SEARCH 0
/* The programs that take plaintext have no room on the stack for the key of a program. */
#define CAN_DOUBT 0
/* All is inlined: a case more wherever a session is asked for is too much for the verifier. */
#define CAN_REMEMBER 0
/* Of descriptors that a process leaves open, so many are looked for. */
#define MAX_DESCRIPTORS 64

#define bpf_loop(count, body, context, flags)                                    \
	for (__u32 index_ = 0; index_ < MAX_TURNS && index_ < (count); index_++) \
		if (body(index_, context))                                       \
			break;
#define bpf_cpu_to_be64(value) __builtin_bswap64(value)
#define barrier_var(name)      asm volatile("" : "=r"(name) : "0"(name))

#define ARGUMENT(i)				 ((void *)ctx->args[i])
#define ARGUMENTS_1				 ARGUMENT(0)
#define ARGUMENTS_2				 ARGUMENTS_1, ARGUMENT(1)
#define ARGUMENTS_3				 ARGUMENTS_2, ARGUMENT(2)
#define ARGUMENTS_4				 ARGUMENTS_3, ARGUMENT(3)
#define ARGUMENTS_5				 ARGUMENTS_4, ARGUMENT(4)
#define COUNTED_5(_1, _2, _3, _4, _5, name, ...) name
#define ARGUMENTS(...) \
	COUNTED_5(__VA_ARGS__, ARGUMENTS_5, ARGUMENTS_4, ARGUMENTS_3, ARGUMENTS_2, ARGUMENTS_1)
#undef BPF_PROG
#define BPF_PROG(name, ...)                                                                        \
	name(struct bpf_raw_tracepoint_args *ctx);                                                 \
	static __always_inline int typed_##name(struct bpf_raw_tracepoint_args *ctx, __VA_ARGS__); \
	int name(struct bpf_raw_tracepoint_args *ctx)                                              \
	{                                                                                          \
		return typed_##name(ctx, ARGUMENTS(__VA_ARGS__));                                  \
	}                                                                                          \
	static __always_inline int typed_##name(struct bpf_raw_tracepoint_args *ctx, __VA_ARGS__)
