/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All programs in one object, so that they share one ring buffer and one set of maps. */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include "include/kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#if !defined(__TARGET_ARCH_x86)
#error "only x86-64 is supported: registers of calls and numbers of system calls are architecture-specific"
#endif

#include "net.bpf.c"
#include "tls.bpf.c"
#include "tls_go.bpf.c"
#include "file.bpf.c"
#include "gpu.bpf.c"
#include "process.bpf.c"
#include "signals.bpf.c"
#include "socket.bpf.c"
#include "readline.bpf.c"
#include "layout.bpf.c"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
