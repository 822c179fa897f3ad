/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUSY	     (1u << 31)
#define DISCARDED    (1u << 30)
#define HEADER_BYTES 8

bool ring_open(struct ring *ring, int map_fd, size_t bytes, size_t cpu_count)
{
	long page = sysconf(_SC_PAGESIZE);

	*ring = (struct ring){.bytes = bytes, .cpu_count = cpu_count};
	ring->cpus = calloc(cpu_count, sizeof(*ring->cpus));
	if (!ring->cpus)
		return false;
	ring->consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (ring->consumer == MAP_FAILED) {
		free(ring->cpus);
		return false;
	}
	ring->producer = mmap(NULL, page + bytes, PROT_READ, MAP_SHARED, map_fd, page);
	if (ring->producer == MAP_FAILED) {
		munmap(ring->consumer, page);
		free(ring->cpus);
		return false;
	}
	ring->data = (uint8_t *)ring->producer + page;
	return true;
}

void ring_close(struct ring *ring)
{
	long page = sysconf(_SC_PAGESIZE);

	if (!ring->data)
		return;
	munmap(ring->consumer, page);
	munmap(ring->producer, page + ring->bytes);
	free(ring->cpus);
	free(ring->wrapped);
	*ring = (struct ring){0};
}

uint64_t ring_produced(const struct ring *ring)
{
	return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
}

/* A record whose end lies at the beginning of the ring, in one piece; NULL if there is no memory.
 */
static uint8_t *unwrap(struct ring *ring, const uint8_t *at, size_t bytes)
{
	size_t until_end = ring->data + ring->bytes - at;
	uint8_t *wrapped = realloc(ring->wrapped, bytes);

	if (!wrapped)
		return NULL;
	ring->wrapped = wrapped;
	memcpy(wrapped, at, until_end);
	memcpy(wrapped + until_end, ring->data, bytes - until_end);
	return wrapped;
}

const struct record_header *ring_next(struct ring *ring, uint64_t *position, size_t *bytes)
{
	uint64_t produced = ring_produced(ring);

	while (*position < produced) {
		uint8_t *at = ring->data + (*position & (ring->bytes - 1));
		uint32_t word = __atomic_load_n((uint32_t *)at, __ATOMIC_ACQUIRE);

		if (word & BUSY)
			return NULL;
		*bytes = word & ~(BUSY | DISCARDED);
		*position += (*bytes + HEADER_BYTES + 7) & ~7ull;
		if (word & DISCARDED)
			continue;
		at += HEADER_BYTES;
		if (*bytes > (size_t)(ring->data + ring->bytes - at))
			at = unwrap(ring, at, *bytes);
		if (!at)
			ring->failed = true;
		return (const struct record_header *)at;
	}
	return NULL;
}

void ring_release(struct ring *ring, uint64_t position)
{
	__atomic_store_n(ring->consumer, position, __ATOMIC_RELEASE);
}

bool ring_account(struct ring *ring, const struct record_header *header)
{
	struct cpu_sequence *cpu;

	if (header->cpu >= ring->cpu_count)
		return false;
	cpu = &ring->cpus[header->cpu];
	cpu->received++;
	/* Numbers may be swapped, so the highest counts and not the last. */
	if (header->sequence >= cpu->next)
		cpu->next = header->sequence + 1;
	return true;
}

uint64_t ring_missing(const struct ring *ring)
{
	uint64_t missing = 0;

	for (size_t i = 0; i < ring->cpu_count; i++)
		missing += ring->cpus[i].next - ring->cpus[i].received;
	return missing;
}
