/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All programs in one object, so that they share one ring buffer and one set of maps. */
#ifdef AGENTSIGHT_BCC
#include "include/bcc.h"
#else
#include "include/core.h"
#endif

#include "socket.bpf.c"
#include "tls_aead.bpf.c"
#include "tls_go.bpf.c"
#include "file.bpf.c"
#include "gpu.bpf.c"
#include "process.bpf.c"
#include "signals.bpf.c"
#include "readline.bpf.c"
#include "layout.bpf.c"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
