/* SPDX-License-Identifier: Apache-2.0 */
#include "encode.h"

#include <arpa/inet.h>
#include <string.h>

#include "bodies.h"

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

static enum body_field encode_body(struct buffer *body, const void *record, uint16_t type,
				   size_t bytes)
{
	enum body_field field = encode_process(body, record, type, bytes);

	if (!field)
		field = encode_file(body, record, type, bytes);
	if (!field)
		field = encode_net(body, record, type, bytes);
	return field;
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
