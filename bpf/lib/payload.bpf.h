/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Bytes that a process has moved, from its own memory into records: in pieces of at most 16 KiB,
 * with what was lost since the last piece that got through.
 */
#pragma once

#include "connections.bpf.h"

struct piece {
	__u64 connection;
	__u64 session;
	__u64 lost_bytes;
	__u64 from;
	__u32 length;
	__u32 type;
	__u32 class;
	__u32 source;
};

static __always_inline int fill_piece(struct tls_record *record, struct piece *piece, __u32 room)
{
	__u32 length = piece->length;

	record->connection = piece->connection;
	record->lost_bytes = piece->lost_bytes;
	record->length = length;
	record->source = piece->source;
	CLAMP(length, room);
	if (bpf_probe_read_user(record->payload, length, (void *)piece->from)) {
		discard_unreadable(piece->class, record, piece->length);
		return -1;
	}
	/* Of a stranger the reader has to find out whether it is an agent. */
	submit_record_as(piece->class, record, piece->length, !piece->session);
	return 0;
}

/* Reservations must have a constant size: the smallest class that fits. */
#define EMIT_IF_FITS(room)                                                                 \
	if (piece->length <= (room)) {                                                     \
		record = begin_record(piece->class, piece->type, sizeof(*record) + (room), \
				      piece->length, piece->session);                      \
		return record ? fill_piece(record, piece, room) : -1;                      \
	}

/* Global, so that the verifier looks at it apart from the loop around it. */
SUBPROGRAM int emit_piece(struct piece *piece)
{
	struct tls_record *record;

	if (!piece)
		return -1;
	EMIT_IF_FITS(64);
	EMIT_IF_FITS(128);
	EMIT_IF_FITS(256);
	EMIT_IF_FITS(512);
	EMIT_IF_FITS(1024);
	EMIT_IF_FITS(2048);
	EMIT_IF_FITS(4096);
	EMIT_IF_FITS(8192);
	EMIT_IF_FITS(TLS_PIECE_BYTES);
	return -1;
}

/* The piece at piece->from goes out, or is lost bytes of the connection. */
static __always_inline void emit_or_lose(struct connection *connection, struct piece *piece,
					 bool written)
{
	__u64 *lost = written ? &connection->lost_bytes[1] : &connection->lost_bytes[0];

	piece->lost_bytes = *lost;
	if (emit_piece(piece)) {
		*lost += piece->length;
	} else {
		*lost = 0;
		connection->flags |= CONNECTION_ANNOUNCED;
	}
}

struct payload {
	struct connection *connection;
	__u64 from;
	__u64 taken;
	__u64 written;
	struct piece piece;
};

static long emit_next(__u32 index, struct payload *payload)
{
	__u64 offset = (__u64)index * TLS_PIECE_BYTES, rest = payload->taken - offset;

	payload->piece.from = payload->from + offset;
	payload->piece.length = rest < TLS_PIECE_BYTES ? rest : TLS_PIECE_BYTES;
	emit_or_lose(payload->connection, &payload->piece, payload->written);
	return rest <= TLS_PIECE_BYTES;
}

static __always_inline void emit_payload(struct connection *connection, __u64 session, __u64 from,
					 __u64 length, bool written, __u32 source)
{
	struct payload payload = {
		.connection = connection,
		.from = from,
		.taken = length < settings.max_payload_bytes ? length : settings.max_payload_bytes,
		.written = written,
		.piece.connection = connection->id,
		.piece.session = session,
		.piece.type = written ? RECORD_TLS_WRITTEN : RECORD_TLS_READ,
		.piece.class = CLASS_TLS,
		.piece.source = source,
	};

	bpf_loop(MAX_PIECES, emit_next, &payload, 0);
	if (payload.taken < length) {
		connection->lost_bytes[written] += length - payload.taken;
		COUNT(CLASS_TLS, truncated, 1);
		COUNT(CLASS_TLS, truncated_bytes, length - payload.taken);
	}
}
