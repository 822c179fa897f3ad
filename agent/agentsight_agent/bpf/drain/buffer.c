/* SPDX-License-Identifier: Apache-2.0 */
#include "buffer.h"

#include <stdlib.h>
#include <string.h>

enum wire_type { VARINT = 0, FIXED64 = 1, LENGTH_DELIMITED = 2 };

void buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}

bool buffer_reserve(struct buffer *buffer, size_t bytes)
{
	size_t room = buffer->room ? buffer->room : 4096;
	uint8_t *data;

	if (buffer->failed)
		return false;
	if (buffer->room - buffer->used >= bytes)
		return true;
	while (room - buffer->used < bytes)
		room *= 2;
	data = realloc(buffer->data, room);
	if (!data) {
		buffer->failed = true;
		return false;
	}
	buffer->data = data;
	buffer->room = room;
	return true;
}

void buffer_append(struct buffer *buffer, const void *data, size_t bytes)
{
	if (!buffer_reserve(buffer, bytes) || !bytes)
		return;
	memcpy(buffer->data + buffer->used, data, bytes);
	buffer->used += bytes;
}

static void append_varint(struct buffer *buffer, uint64_t value)
{
	if (!buffer_reserve(buffer, 10))
		return;
	while (value >= 0x80) {
		buffer->data[buffer->used++] = value | 0x80;
		value >>= 7;
	}
	buffer->data[buffer->used++] = value;
}

static void append_tag(struct buffer *buffer, unsigned field, enum wire_type type)
{
	append_varint(buffer, field << 3 | type);
}

void put_varint(struct buffer *buffer, unsigned field, uint64_t value)
{
	if (!value)
		return;
	append_tag(buffer, field, VARINT);
	append_varint(buffer, value);
}

void put_optional(struct buffer *buffer, unsigned field, uint64_t value)
{
	append_tag(buffer, field, VARINT);
	append_varint(buffer, value);
}

void put_signed(struct buffer *buffer, unsigned field, int64_t value)
{
	put_varint(buffer, field, (uint64_t)value);
}

void put_fixed64(struct buffer *buffer, unsigned field, uint64_t value)
{
	if (!value)
		return;
	append_tag(buffer, field, FIXED64);
	buffer_append(buffer, &value, sizeof(value));
}

void put_bytes(struct buffer *buffer, unsigned field, const void *data, size_t bytes)
{
	append_tag(buffer, field, LENGTH_DELIMITED);
	append_varint(buffer, bytes);
	buffer_append(buffer, data, bytes);
}

static unsigned continuation_bytes(uint8_t lead)
{
	if (lead >= 0xc2 && lead <= 0xdf)
		return 1;
	if ((lead & 0xf0) == 0xe0)
		return 2;
	if (lead >= 0xf0 && lead <= 0xf4)
		return 3;
	return 0;
}

/* Length of the well-formed character at `text`, 0 if there is none (Unicode 15, table 3-7). */
static size_t character_bytes(const uint8_t *text, size_t left)
{
	uint8_t lowest = 0x80, highest = 0xbf;
	unsigned more = continuation_bytes(text[0]);

	if (text[0] < 0x80)
		return 1;
	if (!more || more >= left)
		return 0;
	if (text[0] == 0xe0)
		lowest = 0xa0;
	else if (text[0] == 0xed)
		highest = 0x9f; /* no surrogates */
	else if (text[0] == 0xf0)
		lowest = 0x90;
	else if (text[0] == 0xf4)
		highest = 0x8f;
	if (text[1] < lowest || text[1] > highest)
		return 0;
	for (unsigned i = 2; i <= more; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	return 1 + more;
}

/* Length of what at `text` is ASCII, in eights. */
static size_t ascii_bytes(const uint8_t *text, size_t bytes)
{
	size_t at = 0;
	uint64_t eight;

	for (; bytes - at >= sizeof(eight); at += sizeof(eight)) {
		memcpy(&eight, text + at, sizeof(eight));
		if (eight & 0x8080808080808080)
			break;
	}
	return at;
}

static size_t well_formed_bytes(const uint8_t *text, size_t bytes)
{
	size_t at = 0, character = 1;

	while (character) {
		at += ascii_bytes(text + at, bytes - at);
		character = at < bytes ? character_bytes(text + at, bytes - at) : 0;
		at += character;
	}
	return at;
}

void put_text(struct buffer *buffer, unsigned field, const void *data, size_t bytes)
{
	static const char replacement[] = "\xef\xbf\xbd";
	const uint8_t *text = data;
	size_t good = well_formed_bytes(text, bytes);
	struct buffer mended = {0};

	if (good == bytes) {
		put_bytes(buffer, field, data, bytes);
		return;
	}
	while (bytes) {
		good = well_formed_bytes(text, bytes);
		buffer_append(&mended, text, good);
		if (good < bytes) {
			buffer_append(&mended, replacement, 3);
			good++;
		}
		text += good;
		bytes -= good;
	}
	put_bytes(buffer, field, mended.data, mended.used);
	buffer->failed |= mended.failed;
	buffer_free(&mended);
}
