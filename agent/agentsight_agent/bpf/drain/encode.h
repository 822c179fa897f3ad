/* SPDX-License-Identifier: Apache-2.0 */
/* Records of the ring as serialized agentsight.v1.Event (proto/agentsight_core/pb/events.proto). */
#pragma once

#include "buffer.h"
#include "lib/record.h"

/* Scratch that is reused from record to record. */
struct encoder {
	/* wall_ns = boot_ns + this */
	int64_t wall_offset_ns;
	struct buffer event;
	struct buffer body;
};

void encoder_free(struct encoder *encoder);

/*
 * Put the Event that `header`'s record means into `encoder->event`. False if the record is shorter
 * than its type says (`bytes` is its size), if its type is no event, or if memory ran out.
 */
bool encode_record(struct encoder *encoder, const struct record_header *header, size_t bytes);

/* Write an address of `family` as text to `text` (at least INET6_ADDRSTRLEN bytes). */
void address_text(uint16_t family, const uint8_t *address, char *text);
