/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What differs between the machines that we are compiled for: registers at a system call and in
 * Go's calling convention, numbers of system calls.
 *
 * Sources: arch/{x86,arm64}/include/asm/ptrace.h and thread_info.h of Linux; Go's ABIInternal
 * specification, "amd64 architecture" and "arm64 architecture".
 */
#pragma once

#if defined(__TARGET_ARCH_arm64)

#include <asm/unistd.h>

#define SYSCALL_NUMBER(at) ((__u64)(at)->syscallno)
/* The result has taken the place of the first argument. */
#define SYSCALL_ARG1(at) ((at)->orig_x0)
#define SYSCALL_ARG2(at) ((at)->regs[1])
#define SYSCALL_ARG3(at) ((at)->regs[2])
#define SYSCALL_ARG4(at) ((at)->regs[3])
#define SYSCALL_ARG5(at) ((at)->regs[4])

#define GO_GOROUTINE(at) ((at)->regs[28])
#define GO_ARG1(at)	 ((at)->regs[0])
#define GO_ARG2(at)	 ((at)->regs[1])
#define GO_ARG3(at)	 ((at)->regs[2])
#define GO_RESULT(at)	 ((at)->regs[0])

#define RETURN_ADDRESS_BYTES 0

/* Whether the thread is in a 32-bit system call: _TIF_32BIT. */
#define IN_COMPAT_SYSCALL(task) (FIELD(task, thread_info.flags) & (1 << 22))

/* Calls that this machine does not have; these numbers never come. */
enum {
	__NR_open = 1 << 16,
	__NR_creat,
	__NR_rename,
	__NR_link,
	__NR_symlink,
	__NR_unlink,
	__NR_rmdir,
	__NR_mkdir,
	__NR_chmod,
	__NR_chown,
	__NR_lchown,
	__NR_dup2,
	__NR_fork,
	__NR_vfork,
	__NR_access,
	__NR_epoll_wait,
	__NR_lstat,
	__NR_poll,
	__NR_readlink,
	__NR_stat,
};

#else

#include <asm/unistd_64.h>

#define SYSCALL_NUMBER(at) ((at)->orig_rax)
#define SYSCALL_ARG1(at)   ((at)->rdi)
#define SYSCALL_ARG2(at)   ((at)->rsi)
#define SYSCALL_ARG3(at)   ((at)->rdx)
#define SYSCALL_ARG4(at)   ((at)->r10)
#define SYSCALL_ARG5(at)   ((at)->r8)

#define GO_GOROUTINE(at)	((at)->r14)
#define GO_ARG1(at)		((at)->rax)
#define GO_ARG2(at)		((at)->rbx)
#define GO_ARG3(at)		((at)->rcx)
#define GO_RESULT(at)		((at)->rax)

/* A call pushes the address that it returns to. */
#define RETURN_ADDRESS_BYTES	8

/* TS_COMPAT */
#define IN_COMPAT_SYSCALL(task) (FIELD(task, thread_info.status) & 2)

#endif
