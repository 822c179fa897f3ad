/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Makes the compiler describe the shared structures in the object's type information, where a test
 * compares them with what the drain was compiled with.
 */
#include "file.h"
#include "gpu.h"
#include "net.h"
#include "process.h"
#include "signals.h"
#include "tls.h"
#include "udp.h"

#define DESCRIBE(type) \
	const struct type *volatile const layout_of_##type SEC(".rodata.layout") = NULL

DESCRIBE(record_header);
DESCRIBE(tls_record);
DESCRIBE(connection_opened);
DESCRIBE(connection_closed);
DESCRIBE(process_forked);
DESCRIBE(process_executed);
DESCRIBE(process_networked);
DESCRIBE(process_exited);
DESCRIBE(file_opened);
DESCRIBE(file_closed);
DESCRIBE(file_changed);
DESCRIBE(net_record);
DESCRIBE(dns_answered);
DESCRIBE(signal_sent);
DESCRIBE(limit_hit);
DESCRIBE(oom_killed);
DESCRIBE(unseen_used);
DESCRIBE(gpu_used);
