/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins the TLS records of a batch to runs: consecutive bytes of one connection and direction.
 *
 * The two directions of a connection are partners. Both begin anew where bytes are missing or the
 * session changes. Nothing is copied before the batch ends; pieces point into the ring.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls.h"

struct piece {
	const uint8_t *payload;
	uint64_t boot_ns;
	uint32_t length;
	/* Index of the next piece of the run, or -1. */
	int32_t next;
};

struct run {
	uint64_t connection, session, cgroup, lost_bytes;
	uint32_t pid, tid, source;
	bool written;
	size_t bytes;
	uint32_t piece_count;
	int32_t first_piece, last_piece;
	/* The run of the other direction, or -1. */
	int32_t partner;
	/* Of the first of two partners: which of them came last, and whether the bytes of both
	 * came in turns. */
	int32_t newest;
	bool interleaved;
	/* The second of two partners. */
	bool is_partner;
	/* Index of the next current run in the same slot, or -1. */
	int32_t next_in_slot;
};

#define RUN_SLOTS 1024

struct runs {
	struct run *runs;
	size_t run_count, run_room;
	struct piece *pieces;
	size_t piece_count, piece_room;
	/* Connection to its current run, the first of two partners. */
	int32_t slots[RUN_SLOTS];
};

void runs_free(struct runs *runs);
/* Forget the last batch. */
void runs_begin(struct runs *runs);
/* True and `*began` tells if a new run began (the last one); false if memory ran out. */
bool runs_add(struct runs *runs, const struct tls_record *record, bool *began);
/* The connection is closed: what comes under its number begins a new run. */
void runs_end(struct runs *runs, uint64_t connection);
/* Copy out a run: its payload, and offset and time of each piece. */
void run_copy(const struct runs *runs, const struct run *run, uint8_t *payload, uint8_t *offsets,
	      uint8_t *times);
