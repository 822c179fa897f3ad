/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event.body of each kind of record. Each function puts the message into `body` and returns its
 * field in Event; 0 if the record is none of its types or shorter than its type says.
 */
#pragma once

#include "buffer.h"
#include "encode.h"
#include "path.h"

/* Field numbers of Event.body in events.proto. */
enum body_field {
	PROCESS_FORKED = 18,
	PROCESS_EXECUTED = 19,
	PROCESS_EXITED = 20,
	FILE_OPENED = 25,
	FILE_CLOSED = 26,
	NET_CONNECTED = 27,
	NET_CLOSED = 28,
	LOST = 29,
	FILE_CHANGED = 60,
	NET_SAMPLED = 61,
	SIGNAL_SENT = 62,
	LIMIT_HIT = 63,
	OOM_KILLED = 64,
	GPU_USED = 65,
	DNS_ANSWERED = 66,
};

/* `encoded` if the record has at least the bytes of its type. */
#define IF_WHOLE(type, encoded) (bytes >= sizeof(type) ? (encoded) : 0)

enum body_field encode_process(struct buffer *body, const void *record, uint16_t type,
			       size_t bytes);
enum body_field encode_file(struct buffer *body, const void *record, uint16_t type, size_t bytes);
enum body_field encode_net(struct buffer *body, const void *record, uint16_t type, size_t bytes);

/* Left out when the path is incomplete. */
void put_path(struct buffer *body, unsigned field, const struct path_area *area);
