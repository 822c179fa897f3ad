/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One drain: walks the ring and makes the list of items that Python gets.
 *
 * Items stand in the order of their first record. TLS runs go on over other items; a segment ends
 * at a process record or at another session, so that no event of a process comes before its birth.
 */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "encode.h"
#include "ring.h"
#include "runs.h"

/* The Python types of the items, in this order, called with positional arguments. */
enum item_type {
	TLS_RUN,
	TLS_DUPLEX,
	CONNECTION_OPENED,
	CONNECTION_CLOSED,
	PROCESS_RECORD,
	PROCESS_NETWORKED,
	SEGMENT,
	ITEM_TYPES
};

struct batch {
	struct ring ring;
	struct runs runs;
	struct encoder encoder;
	/* Events of the segment that is open, length-delimited as EventBatch.events. */
	struct buffer segment;
	uint64_t segment_session;
	size_t segment_events;
	/* Entry i: index into `runs`, or -1 = `made` holds the item. */
	struct buffer order;
	PyObject *made;
	PyObject *item_types[ITEM_TYPES];
	size_t records;
	bool more;
};

/* A new list of items, or NULL with an exception; what it took is then still in the ring. */
PyObject *batch_drain(struct batch *batch, uint64_t budget_bytes);
