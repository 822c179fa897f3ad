/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a BPF ring buffer by mapping it (kernel/bpf/ringbuf.c): a page with the consumer's
 * position, a page with the producer's, then the data. The kernel offers the data twice in a row,
 * so that no record wraps; that would count the whole ring twice in the resident memory, so it is
 * mapped once and the one record in a turn that wraps is copied.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/record.h"

/* The numbers that a CPU gave out and how many of them have arrived. */
struct cpu_sequence {
	uint64_t next;
	uint64_t received;
};

struct ring {
	uint64_t *consumer;
	uint64_t *producer;
	uint8_t *data;
	size_t bytes;
	/* The record that wraps, in one piece. There is at most one between two releases. */
	uint8_t *wrapped;
	/* There was no memory for it. */
	bool failed;
	struct cpu_sequence *cpus;
	size_t cpu_count;
};

/* False with errno set if the map cannot be mapped. */
bool ring_open(struct ring *ring, int map_fd, size_t bytes, size_t cpu_count);
void ring_close(struct ring *ring);
uint64_t ring_produced(const struct ring *ring);
/*
 * The record at `*position` and its size; moves `*position` behind it. Valid until it is released.
 * NULL if there is none, if the next one is still being written, or if `failed`.
 */
const struct record_header *ring_next(struct ring *ring, uint64_t *position, size_t *bytes);
/* Give everything before `position` back to the kernel. */
void ring_release(struct ring *ring, uint64_t position);
/* Note the record's number; false if its CPU does not exist. */
bool ring_account(struct ring *ring, const struct record_header *header);
/* Records that got a number and have not arrived, over all CPUs. */
uint64_t ring_missing(const struct ring *ring);
