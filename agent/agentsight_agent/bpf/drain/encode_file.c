/* SPDX-License-Identifier: Apache-2.0 */
#include "bodies.h"

#include <string.h>

#include "file.h"

/* What lies behind the fixed part of a record. */
struct tail {
	const char *data;
	size_t bytes;
};

static bool put_tail_text(struct buffer *body, unsigned field, struct tail tail, size_t at,
			  size_t bytes)
{
	if (at > tail.bytes || bytes > tail.bytes - at)
		return false;
	if (bytes)
		put_text(body, field, tail.data + at, strnlen(tail.data + at, bytes));
	return true;
}

/* `at` 0 = there is none. */
static bool put_tail_path(struct buffer *body, unsigned field, struct tail tail, size_t at)
{
	if (!at)
		return true;
	if (at > tail.bytes || sizeof(struct path_area) > tail.bytes - at)
		return false;
	put_path(body, field, (const void *)(tail.data + at));
	return true;
}

static enum body_field encode_opened(struct buffer *body, const struct file_opened *record,
				     size_t bytes)
{
	struct tail tail = {record->data, bytes - sizeof(*record)};

	if (!put_tail_text(body, 1, tail, 0, record->path_bytes))
		return 0;
	put_varint(body, 2, record->flags);
	put_signed(body, 3, record->result);
	return put_tail_path(body, 4, tail, record->directory_at) ? FILE_OPENED : 0;
}

static enum body_field encode_closed(struct buffer *body, const struct file_closed *record,
				     size_t bytes)
{
	struct tail tail = {record->path, bytes - sizeof(*record)};

	if (!put_tail_text(body, 1, tail, 0, record->path_bytes))
		return 0;
	put_signed(body, 2, record->fd);
	put_varint(body, 3, record->read_bytes);
	put_varint(body, 4, record->written_bytes);
	put_varint(body, 5, record->reads);
	put_varint(body, 6, record->writes);
	put_fixed64(body, 7, record->opened_boot_ns);
	put_varint(body, 8, record->still_open);
	put_varint(body, 9, record->mapped_for_writing);
	return FILE_CLOSED;
}

/* The owner stays as it is if it is all ones. */
static void put_owner(struct buffer *body, unsigned field, uint32_t id)
{
	if (id != UINT32_MAX)
		put_optional(body, field, id);
}

static enum body_field encode_changed(struct buffer *body, const struct file_changed *record,
				      size_t bytes)
{
	struct tail tail = {record->data, bytes - sizeof(*record)};

	put_varint(body, 1, record->operation);
	put_signed(body, 2, record->result);
	if (!put_tail_text(body, 3, tail, 0, record->path_bytes) ||
	    !put_tail_path(body, 4, tail, record->directory_at) ||
	    !put_tail_text(body, 5, tail, record->new_path_at, record->new_path_bytes) ||
	    !put_tail_path(body, 6, tail, record->new_directory_at))
		return 0;
	put_varint(body, 7, record->mode);
	if (record->operation == FILE_OWNER_CHANGED) {
		put_owner(body, 8, record->uid);
		put_owner(body, 9, record->gid);
	}
	put_varint(body, 10, record->length_bytes);
	return FILE_CHANGED;
}

/* Told as a loss: nobody knows of how much. */
static enum body_field encode_unseen(struct buffer *body, const struct unseen_used *record)
{
	const char *reason = record->what == UNSEEN_IO_URING ? "io_uring" : "unknown";

	put_text(body, 1, "kernel", strlen("kernel"));
	put_text(body, 2, reason, strlen(reason));
	put_varint(body, 3, 1);
	put_text(body, 4, "rings", strlen("rings"));
	put_fixed64(body, 5, record->header.boot_ns);
	return LOST;
}

enum body_field encode_file(struct buffer *body, const void *record, uint16_t type, size_t bytes)
{
	switch (type) {
	case RECORD_FILE_OPENED:
		return IF_WHOLE(struct file_opened, encode_opened(body, record, bytes));
	case RECORD_FILE_CLOSED:
		return IF_WHOLE(struct file_closed, encode_closed(body, record, bytes));
	case RECORD_FILE_CHANGED:
		return IF_WHOLE(struct file_changed, encode_changed(body, record, bytes));
	case RECORD_UNSEEN_USED:
		return IF_WHOLE(struct unseen_used, encode_unseen(body, record));
	}
	return 0;
}
