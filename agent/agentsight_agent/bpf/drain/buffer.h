/* SPDX-License-Identifier: Apache-2.0 */
/* Byte buffers that grow, and the protobuf wire format (protobuf.dev/programming-guides/encoding).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
	uint8_t *data;
	size_t used;
	size_t room;
	/* Memory ran out: what follows is not written. */
	bool failed;
};

void buffer_free(struct buffer *buffer);
/* Make sure that `bytes` more fit; false if there is no memory. */
bool buffer_reserve(struct buffer *buffer, size_t bytes);
void buffer_append(struct buffer *buffer, const void *data, size_t bytes);

/* Fields with the default value are left out, as proto3 asks. */
void put_varint(struct buffer *buffer, unsigned field, uint64_t value);
void put_signed(struct buffer *buffer, unsigned field, int64_t value);
void put_fixed64(struct buffer *buffer, unsigned field, uint64_t value);
/* Of an `optional` field: written also when it is 0. */
void put_optional(struct buffer *buffer, unsigned field, uint64_t value);
/* Written also when it is empty. */
void put_bytes(struct buffer *buffer, unsigned field, const void *data, size_t bytes);
/* Text of unknown encoding: what is not UTF-8 becomes U+FFFD, as protobuf refuses anything else. */
void put_text(struct buffer *buffer, unsigned field, const void *data, size_t bytes);
