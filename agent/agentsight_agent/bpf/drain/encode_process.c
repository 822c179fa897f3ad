/* SPDX-License-Identifier: Apache-2.0 */
#include "bodies.h"

#include <string.h>

#include "gpu.h"
#include "process.h"
#include "signals.h"
#include "syscalls.h"

/* The components come last first. */
void put_path(struct buffer *body, unsigned field, const struct path_area *area)
{
	char path[PATH_AREA_BYTES + 1];
	size_t at = sizeof(path);
	const char *component = area->reversed;

	if (!area->complete || area->bytes > PATH_AREA_BYTES)
		return;
	for (unsigned i = 0; i < area->components; i++) {
		size_t left = area->reversed + area->bytes - component;
		size_t length = strnlen(component, left);

		if (length == left)
			return;
		at -= length;
		memcpy(path + at, component, length);
		path[--at] = '/';
		component += length + 1;
	}
	if (at == sizeof(path))
		path[--at] = '/';
	put_text(body, field, path + at, sizeof(path) - at);
}

static void put_argv(struct buffer *body, unsigned field, const char *argv, size_t bytes)
{
	while (bytes) {
		size_t length = strnlen(argv, bytes);

		put_text(body, field, argv, length);
		if (length == bytes)
			return;
		argv += length + 1;
		bytes -= length + 1;
	}
}

static enum body_field encode_forked(struct buffer *body, const struct process_forked *record)
{
	put_varint(body, 1, record->parent_pid);
	put_fixed64(body, 2, record->start_boot_ns);
	return PROCESS_FORKED;
}

static enum body_field encode_executed(struct buffer *body, const struct process_executed *record,
				       size_t bytes)
{
	if (record->argv_bytes > bytes - sizeof(*record))
		return 0;
	put_varint(body, 1, record->parent_pid);
	put_fixed64(body, 2, record->start_boot_ns);
	put_argv(body, 3, record->argv, record->argv_bytes);
	put_varint(body, 4, record->argv_total_bytes > record->argv_bytes);
	put_path(body, 5, &record->exe);
	put_path(body, 6, &record->cwd);
	put_varint(body, 7, record->uid);
	put_text(body, 8, record->comm, strnlen(record->comm, sizeof(record->comm)));
	return PROCESS_EXECUTED;
}

static enum body_field encode_exited(struct buffer *body, const struct process_exited *record)
{
	put_varint(body, 1, record->exit_code);
	put_varint(body, 2, record->exit_signal);
	put_varint(body, 3, record->duration_ns);
	return PROCESS_EXITED;
}

static enum body_field encode_signal(struct buffer *body, const struct signal_sent *record)
{
	put_varint(body, 1, record->sender_pid);
	put_varint(body, 2, record->target_pid);
	put_varint(body, 3, record->signal);
	put_varint(body, 4, record->result);
	return SIGNAL_SENT;
}

static enum body_field encode_limit(struct buffer *body, const struct limit_hit *record)
{
	put_varint(body, 1, number_on_x86(record->call));
	put_signed(body, 2, record->error);
	put_varint(body, 3, record->count);
	return LIMIT_HIT;
}

static enum body_field encode_gpu(struct buffer *body, const struct gpu_used *record)
{
	put_varint(body, 1, record->launches);
	put_varint(body, 2, record->copies);
	put_varint(body, 3, record->copied_bytes);
	put_varint(body, 4, record->allocations);
	put_varint(body, 5, record->allocated_bytes);
	put_varint(body, 6, record->frees);
	put_varint(body, 7, record->synchronisations);
	put_varint(body, 8, record->synchronised_ns);
	put_varint(body, 9, record->runtime);
	return GPU_USED;
}

enum body_field encode_process(struct buffer *body, const void *record, uint16_t type, size_t bytes)
{
	switch (type) {
	case RECORD_PROCESS_FORKED:
		return IF_WHOLE(struct process_forked, encode_forked(body, record));
	case RECORD_PROCESS_EXECUTED:
		return IF_WHOLE(struct process_executed, encode_executed(body, record, bytes));
	case RECORD_PROCESS_EXITED:
		return IF_WHOLE(struct process_exited, encode_exited(body, record));
	case RECORD_SIGNAL_SENT:
		return IF_WHOLE(struct signal_sent, encode_signal(body, record));
	case RECORD_LIMIT_HIT:
		return IF_WHOLE(struct limit_hit, encode_limit(body, record));
	case RECORD_GPU_USED:
		return IF_WHOLE(struct gpu_used, encode_gpu(body, record));
	case RECORD_OOM_KILLED:
		return IF_WHOLE(struct oom_killed, OOM_KILLED);
	}
	return 0;
}
