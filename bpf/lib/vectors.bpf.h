/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where in the caller's memory a system call has read or written: one buffer, or several. */
#pragma once

#include "payload.bpf.h"

#define MAX_VECTORS 64
struct moved_bytes {
	/* The buffer, or the array of iovecs. */
	__u64 at;
	__u64 bytes;
	/* 0 = one buffer */
	__u32 vectors;
	__u32 reserved;
};

struct user_vector {
	__u64 base;
	__u64 length;
};

/* The beginning of struct user_msghdr; the kernel's own type is not for BTF programs. */
struct user_message {
	__u64 name;
	__u64 name_length;
	__u64 vectors_at;
	__u64 vector_count;
};

static __always_inline bool moves_out(__u64 number)
{
	return number == __NR_write || number == __NR_writev || number == __NR_sendto ||
	       number == __NR_sendmsg;
}

/* False: it is no call that names its buffers (sendfile, io_uring). */
static __always_inline bool find_moved(__u64 number, __u64 second, __u64 third, __u64 bytes,
				       struct moved_bytes *moved)
{
	struct user_message message;

	moved->at = second;
	moved->bytes = bytes;
	switch (number) {
	case __NR_read:
	case __NR_write:
	case __NR_sendto:
	case __NR_recvfrom:
		moved->vectors = 0;
		return true;
	case __NR_readv:
	case __NR_writev:
		moved->vectors = third < MAX_VECTORS ? third : MAX_VECTORS;
		return true;
	case __NR_sendmsg:
	case __NR_recvmsg:
		if (bpf_probe_read_user(&message, sizeof(message), (void *)second))
			return false;
		moved->at = message.vectors_at;
		moved->vectors =
			message.vector_count < MAX_VECTORS ? message.vector_count : MAX_VECTORS;
		return true;
	}
	return false;
}

static __always_inline __u64 first_byte_of(struct moved_bytes *moved)
{
	struct user_vector vector = {};

	if (!moved->vectors)
		return moved->at;
	bpf_probe_read_user(&vector, sizeof(vector), (void *)moved->at);
	return vector.base;
}

struct moved_request {
	/* The connection of the current process: its SSL object or what stands in its place. */
	__u64 ssl;
	__u64 session;
	struct moved_bytes moved;
	__u32 written;
	__u32 source;
};

struct moved_walk {
	struct connection *connection;
	/* Of the buffer, and of the whole call. */
	__u64 left;
	__u64 rest;
	__u64 next_at;
	__u64 vectors;
	__u64 written;
	struct piece piece;
};

static __always_inline void forget_bounds(struct moved_walk *walk)
{
	__u64 unknown = walk->connection->generation;

	FORGET_BOUNDS(walk->left, unknown);
	FORGET_BOUNDS(walk->rest, unknown);
	FORGET_BOUNDS(walk->next_at, unknown);
	FORGET_BOUNDS(walk->vectors, unknown);
	FORGET_BOUNDS(walk->piece.from, unknown);
}

/* The next buffer of several; false if there is none. */
static __always_inline bool next_buffer(struct moved_walk *walk)
{
	struct user_vector vector;

	if (!walk->vectors || bpf_probe_read_user(&vector, sizeof(vector), (void *)walk->next_at))
		return false;
	walk->vectors--;
	walk->next_at += sizeof(vector);
	walk->piece.from = vector.base;
	walk->left = vector.length < walk->rest ? vector.length : walk->rest;
	return true;
}

/* One piece of one buffer. */
static long emit_moved_piece(__u32 index, struct moved_walk *walk)
{
	struct piece *piece = &walk->piece;

	if (!walk->left && !next_buffer(walk))
		return 1;
	if (!walk->left) {
		forget_bounds(walk);
		return 0;
	}
	piece->length = walk->left < TLS_PIECE_BYTES ? walk->left : TLS_PIECE_BYTES;
	emit_or_lose(walk->connection, piece, walk->written);
	piece->from += piece->length;
	walk->left -= piece->length;
	walk->rest -= piece->length;
	forget_bounds(walk);
	return !walk->rest;
}

static __noinline int emit_moved(struct connection *connection, struct moved_request *request)
{
	struct moved_bytes *moved = &request->moved;
	__u64 most = settings.max_payload_bytes;
	struct moved_walk walk = {
		.connection = connection,
		.left = moved->vectors ? 0 : moved->bytes,
		.rest = moved->bytes < most ? moved->bytes : most,
		.next_at = moved->at,
		.vectors = moved->vectors,
		.written = request->written,
		.piece.connection = connection->id,
		.piece.session = request->session,
		.piece.from = moved->at,
		.piece.type = request->written ? RECORD_TLS_WRITTEN : RECORD_TLS_READ,
		.piece.class = CLASS_TLS,
		.piece.source = request->source,
	};
	__u32 class = request->source >= SOURCE_STDIO ? CLASS_STDIO : CLASS_TLS;
	__u64 lost;

	if (walk.left > walk.rest)
		walk.left = walk.rest;
	forget_bounds(&walk);
	bpf_loop(MAX_MOVED_PIECES, emit_moved_piece, &walk, 0);
	lost = walk.rest + moved->bytes - (moved->bytes < most ? moved->bytes : most);
	if (lost) {
		/* More than is taken, or the list of buffers cannot be read any more. */
		connection->lost_bytes[!!request->written] += lost;
		COUNT(class, truncated, 1);
		COUNT(class, truncated_bytes, lost);
	}
	return 0;
}
