/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where in the caller's memory a system call has read or written: one buffer, or several. */
#pragma once

#include "payload.bpf.h"

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

struct buffer {
	__u64 ssl;
	__u64 session;
	__u64 from;
	__u64 bytes;
	__u32 written;
	__u32 source;
};

/* Global, so that the verifier looks at it apart; that is why it looks the connection up anew. */
SUBPROGRAM int emit_buffer(struct buffer *buffer)
{
	struct connection_key key = {.tgid = bpf_get_current_pid_tgid() >> 32};
	struct connection *connection;

	if (!buffer)
		return -1;
	key.ssl = buffer->ssl;
	connection = bpf_map_lookup_elem(&connections, &key);
	if (!connection)
		return -1;
	emit_payload(connection, buffer->session, buffer->from, buffer->bytes, !!buffer->written,
		     buffer->source, MAX_BUFFER_PIECES);
	return 0;
}

struct vector_walk {
	struct buffer buffer;
	__u64 next_at;
	__u64 rest;
};

static long emit_vector(__u32 index, struct vector_walk *walk)
{
	struct user_vector vector;

	if (bpf_probe_read_user(&vector, sizeof(vector), (void *)walk->next_at))
		return 1;
	walk->next_at += sizeof(vector);
	walk->buffer.from = vector.base;
	walk->buffer.bytes = vector.length < walk->rest ? vector.length : walk->rest;
	if (walk->buffer.bytes)
		emit_buffer(&walk->buffer);
	walk->rest -= walk->buffer.bytes;
	return !walk->rest;
}

static __noinline int emit_moved(struct connection *connection, struct moved_request *request)
{
	__u32 class = request->source >= SOURCE_STDIO ? CLASS_STDIO : CLASS_TLS;
	struct vector_walk walk = {
		.buffer.ssl = request->ssl,
		.buffer.session = request->session,
		.buffer.from = request->moved.at,
		.buffer.bytes = request->moved.bytes,
		.buffer.written = request->written,
		.buffer.source = request->source,
		.next_at = request->moved.at,
		.rest = request->moved.bytes,
	};

	if (!request->moved.vectors)
		return emit_buffer(&walk.buffer);
	bpf_loop(request->moved.vectors, emit_vector, &walk, 0);
	if (walk.rest) {
		/* More buffers than are looked at, or their list cannot be read any more. */
		connection->lost_bytes[!!request->written] += walk.rest;
		COUNT(class, truncated, 1);
		COUNT(class, truncated_bytes, walk.rest);
	}
	return 0;
}
