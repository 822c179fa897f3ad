/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The programs as a CO-RE object for libbpf: maps and programs are found by section, fields of the
 * kernel by its BTF. include/bcc.h gives the same words another meaning.
 */
#pragma once

#if !defined(__TARGET_ARCH_x86) && !defined(__TARGET_ARCH_arm64)
#error "only x86-64 and arm64 are supported"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include "constants.h"
#include "kernel.h"
#include "registers.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

/*
 * Declares a map; a variable that user space sets or that outlives a run, whose section is called
 * as itself; a value of zeros.
 */
#define MAP(name)		 name SEC(".maps")
#define MAP_VALUE(name, section) name SEC(section)
#define ZEROED(type, name)	 static const type name = {}
/* Declares memory whose content nobody looks at. */
#define SCRATCH(name, bytes) char name[bytes]

/* FIELD(task, group_leader, pid): of a kernel object that the verifier knows the type of. */
#define FIELD(from, ...) ___arrow(from, __VA_ARGS__)

/* Of one call. */
#define MAX_PIECES	 1024
#define MAX_MOVED_PIECES (MAX_PIECES + 64)

/* One program after a system call does everything. */
#define CALLS_IN_ONE_PROGRAM 1

/* The arguments of a program can be searched. */
#define CAN_SEARCH 1
/* A program can be looked up where plaintext is taken. */
#define CAN_DOUBT 1
/* The session that was last asked for is kept. */
#define CAN_REMEMBER 1

/* A function that the verifier looks at apart from its callers. */
#define SUBPROGRAM __noinline

/* Declares the registers with which the current thread has entered the kernel. */
#define CALL_REGISTERS(name) \
	struct pt_regs *name = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf())
/* Makes the fields of registers that a tracepoint has given readable. */
#define USE_REGISTERS(name)
