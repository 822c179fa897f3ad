/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Lines that people type into shells of sessions: char *readline(const char *prompt) returns them.
 */
#include "lib/payload.bpf.h"

#define MAX_TYPED_BYTES 4096

SEC("uretprobe")
int readline_returned(struct pt_regs *ctx)
{
	__u64 line = PT_REGS_RC(ctx), session;
	struct connection *connection;
	struct tls_record *record;
	long bytes;

	if (switched_off() || !line)
		return 0;
	session = session_of(bpf_get_current_pid_tgid() >> 32);
	if (!session)
		return 0;
	connection = connection_of(READLINE_KEY, false);
	if (!connection)
		return 0;
	record = begin_record(CLASS_STDIO, RECORD_TLS_READ, sizeof(*record) + MAX_TYPED_BYTES, 0,
			      session);
	if (!record)
		return 0;
	bytes = bpf_probe_read_user_str(record->payload, MAX_TYPED_BYTES, (void *)line);
	if (bytes <= 0) {
		discard_unreadable(CLASS_STDIO, record, 0);
		return 0;
	}
	if (bytes == MAX_TYPED_BYTES)
		COUNT(CLASS_STDIO, truncated, 1);
	record->connection = connection->id;
	record->lost_bytes = 0;
	/* The ending zero byte tells lines apart, also empty ones. */
	record->length = bytes;
	record->source = SOURCE_READLINE;
	submit_record(CLASS_STDIO, record, bytes);
	return 0;
}
