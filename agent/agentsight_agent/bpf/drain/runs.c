/* SPDX-License-Identifier: Apache-2.0 */
#include "runs.h"

#include <stdlib.h>
#include <string.h>

void runs_free(struct runs *runs)
{
	free(runs->runs);
	free(runs->pieces);
	*runs = (struct runs){0};
}

void runs_begin(struct runs *runs)
{
	runs->run_count = 0;
	runs->piece_count = 0;
	memset(runs->slots, 0xff, sizeof(runs->slots));
}

static bool grow(void **array, size_t *room, size_t used, size_t item_bytes)
{
	size_t wanted = *room ? *room * 2 : 256;
	void *grown;

	if (used < *room)
		return true;
	grown = realloc(*array, wanted * item_bytes);
	if (!grown)
		return false;
	*array = grown;
	*room = wanted;
	return true;
}

/* Where the index of the connection's current run stands, or the -1 at the end of its slot. */
static int32_t *place_of(struct runs *runs, uint64_t connection)
{
	int32_t *at = &runs->slots[connection % RUN_SLOTS];

	while (*at >= 0 && runs->runs[*at].connection != connection)
		at = &runs->runs[*at].next_in_slot;
	return at;
}

static struct run *begin_run(struct runs *runs, const struct tls_record *record,
			     int32_t next_in_slot)
{
	struct run *run = &runs->runs[runs->run_count++];

	*run = (struct run){
		.connection = record->connection,
		.session = record->header.session,
		.cgroup = record->header.cgroup,
		.lost_bytes = record->lost_bytes,
		.pid = record->header.pid,
		.tid = record->header.tid,
		.source = record->source,
		.written = record->header.type == RECORD_TLS_WRITTEN,
		.first_piece = -1,
		.last_piece = -1,
		.partner = -1,
		.newest = runs->run_count - 1,
		.next_in_slot = next_in_slot,
	};
	return run;
}

static bool goes_on(const struct runs *runs, int32_t first, const struct tls_record *record)
{
	return first >= 0 && !record->lost_bytes &&
	       runs->runs[first].session == record->header.session;
}

/* The run of the record's direction, begun if there is none yet, next to `first`; -1: too long. */
static int32_t partner_for(struct runs *runs, int32_t first, const struct tls_record *record,
			   bool *began)
{
	struct run *head = &runs->runs[first];
	int32_t index = first;

	if (head->written != (record->header.type == RECORD_TLS_WRITTEN))
		index = head->partner;
	*began = index < 0;
	if (*began) {
		index = runs->run_count;
		begin_run(runs, record, -1);
		runs->runs[index].is_partner = true;
		runs->runs[index].partner = first;
		head->partner = index;
	} else if (runs->runs[index].bytes + record->length > UINT32_MAX) {
		return -1;
	}
	head->interleaved |= !*began && head->newest != index;
	head->newest = index;
	return index;
}

static void add_piece(struct runs *runs, struct run *run, const struct tls_record *record)
{
	int32_t index = runs->piece_count++;

	runs->pieces[index] = (struct piece){
		.payload = record->payload,
		.boot_ns = record->header.boot_ns,
		.length = record->length,
		.next = -1,
	};
	if (run->last_piece >= 0)
		runs->pieces[run->last_piece].next = index;
	else
		run->first_piece = index;
	run->last_piece = index;
	run->piece_count++;
	run->bytes += record->length;
}

bool runs_add(struct runs *runs, const struct tls_record *record, bool *began)
{
	int32_t *place, index = -1;

	if (!grow((void **)&runs->runs, &runs->run_room, runs->run_count, sizeof(*runs->runs)) ||
	    !grow((void **)&runs->pieces, &runs->piece_room, runs->piece_count,
		  sizeof(*runs->pieces)))
		return false;
	place = place_of(runs, record->connection);
	if (goes_on(runs, *place, record))
		index = partner_for(runs, *place, record, began);
	if (index < 0) {
		int32_t after = *place >= 0 ? runs->runs[*place].next_in_slot : -1;

		*began = true;
		*place = index = runs->run_count;
		begin_run(runs, record, after);
	}
	add_piece(runs, &runs->runs[index], record);
	return true;
}

void runs_end(struct runs *runs, uint64_t connection)
{
	int32_t *place = place_of(runs, connection);

	if (*place >= 0)
		*place = runs->runs[*place].next_in_slot;
}

void run_copy(const struct runs *runs, const struct run *run, uint8_t *payload, uint8_t *offsets,
	      uint8_t *times)
{
	uint32_t offset = 0;

	for (int32_t i = run->first_piece; i >= 0; i = runs->pieces[i].next) {
		const struct piece *piece = &runs->pieces[i];

		memcpy(payload + offset, piece->payload, piece->length);
		memcpy(offsets, &offset, sizeof(offset));
		memcpy(times, &piece->boot_ns, sizeof(piece->boot_ns));
		offset += piece->length;
		offsets += sizeof(offset);
		times += sizeof(piece->boot_ns);
	}
}
