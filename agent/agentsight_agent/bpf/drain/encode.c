/* SPDX-License-Identifier: Apache-2.0 */
#include "encode.h"

#include <arpa/inet.h>
#include <string.h>

#include "file.h"
#include "net.h"
#include "process.h"

/* Field numbers of Event.body in events.proto. */
enum body_field {
	PROCESS_FORKED = 18,
	PROCESS_EXECUTED = 19,
	PROCESS_EXITED = 20,
	FILE_OPENED = 25,
	FILE_CLOSED = 26,
	NET_CONNECTED = 27,
	NET_CLOSED = 28,
};

void encoder_free(struct encoder *encoder)
{
	buffer_free(&encoder->event);
	buffer_free(&encoder->body);
}

void address_text(uint16_t family, const uint8_t *address, char *text)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	text[0] = 0;
	if (family == AF_INET6 && !memcmp(address, mapped, sizeof(mapped)))
		inet_ntop(AF_INET, address + sizeof(mapped), text, INET6_ADDRSTRLEN);
	else
		inet_ntop(family, address, text, INET6_ADDRSTRLEN);
}

static void put_address(struct buffer *body, unsigned field, uint16_t family,
			const uint8_t *address)
{
	char text[INET6_ADDRSTRLEN];

	address_text(family, address, text);
	put_bytes(body, field, text, strlen(text));
}

/* The components come last first. */
static void put_path(struct buffer *body, unsigned field, const struct path_area *area)
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

static enum body_field encode_file_opened(struct buffer *body, const struct file_opened *record,
					  size_t bytes)
{
	if (record->path_bytes > bytes - sizeof(*record))
		return 0;
	put_text(body, 1, record->path, strnlen(record->path, record->path_bytes));
	put_varint(body, 2, record->flags);
	put_signed(body, 3, record->result);
	return FILE_OPENED;
}

static enum body_field encode_file_closed(struct buffer *body, const struct file_closed *record)
{
	put_text(body, 1, record->path, strnlen(record->path, sizeof(record->path)));
	put_signed(body, 2, record->fd);
	put_varint(body, 3, record->read_bytes);
	put_varint(body, 4, record->written_bytes);
	put_varint(body, 5, record->reads);
	put_varint(body, 6, record->writes);
	put_fixed64(body, 7, record->opened_boot_ns);
	return FILE_CLOSED;
}

static enum body_field encode_net_connected(struct buffer *body, const struct net_record *record)
{
	put_fixed64(body, 1, record->socket);
	put_address(body, 2, record->family, record->peer_address);
	put_varint(body, 3, record->peer_port);
	put_address(body, 4, record->family, record->local_address);
	put_varint(body, 5, record->local_port);
	put_signed(body, 6, record->error);
	put_varint(body, 7, record->duration_ns);
	return NET_CONNECTED;
}

static enum body_field encode_net_closed(struct buffer *body, const struct net_record *record)
{
	put_fixed64(body, 1, record->socket);
	put_address(body, 2, record->family, record->peer_address);
	put_varint(body, 3, record->peer_port);
	put_varint(body, 4, record->sent_bytes);
	put_varint(body, 5, record->received_bytes);
	put_varint(body, 6, record->duration_ns);
	return NET_CLOSED;
}

#define IF_WHOLE(type, encoded) (bytes >= sizeof(type) ? (encoded) : 0)

static enum body_field encode_body(struct buffer *body, const void *record, uint16_t type,
				   size_t bytes)
{
	switch (type) {
	case RECORD_PROCESS_FORKED:
		return IF_WHOLE(struct process_forked, encode_forked(body, record));
	case RECORD_PROCESS_EXECUTED:
		return IF_WHOLE(struct process_executed, encode_executed(body, record, bytes));
	case RECORD_PROCESS_EXITED:
		return IF_WHOLE(struct process_exited, encode_exited(body, record));
	case RECORD_FILE_OPENED:
		return IF_WHOLE(struct file_opened, encode_file_opened(body, record, bytes));
	case RECORD_FILE_CLOSED:
		return IF_WHOLE(struct file_closed, encode_file_closed(body, record));
	case RECORD_NET_CONNECTED:
		return IF_WHOLE(struct net_record, encode_net_connected(body, record));
	case RECORD_NET_CLOSED:
		return IF_WHOLE(struct net_record, encode_net_closed(body, record));
	}
	return 0;
}

bool encode_record(struct encoder *encoder, const struct record_header *header, size_t bytes)
{
	struct buffer *event = &encoder->event;
	enum body_field field;

	event->used = 0;
	encoder->body.used = 0;
	field = encode_body(&encoder->body, header, header->type, bytes);
	if (!field)
		return false;
	put_fixed64(event, 1, header->boot_ns);
	put_fixed64(event, 2, header->boot_ns + encoder->wall_offset_ns);
	put_fixed64(event, 3, header->session);
	put_varint(event, 4, header->pid);
	put_varint(event, 5, header->tid);
	put_bytes(event, field, encoder->body.data, encoder->body.used);
	return !event->failed && !encoder->body.failed;
}
