/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include <arpa/inet.h>

#include "process.h"
#include "tls.h"

static PyObject *no_memory(void)
{
	return PyErr_NoMemory();
}

/* Add `item` (stolen, NULL = error) to the items, or run number `run` if it is >= 0. */
static bool add_item(struct batch *batch, PyObject *item, int64_t run)
{
	bool ok;

	if (run >= 0) {
		buffer_append(&batch->order, &run, sizeof(run));
	} else {
		if (!item)
			return false;
		ok = !PyList_Append(batch->made, item);
		Py_DECREF(item);
		if (!ok)
			return false;
		buffer_append(&batch->order, &run, sizeof(run));
	}
	if (batch->order.failed)
		no_memory();
	return !batch->order.failed;
}

/* Make an item from a tuple of arguments, which is consumed. */
static PyObject *make_item(struct batch *batch, enum item_type type, PyObject *arguments)
{
	PyObject *item;

	if (!arguments)
		return NULL;
	item = PyObject_CallObject(batch->item_types[type], arguments);
	Py_DECREF(arguments);
	return item;
}

static bool end_segment(struct batch *batch)
{
	PyObject *arguments;

	if (!batch->segment_events)
		return true;
	arguments = Py_BuildValue("(Kny#)", (unsigned long long)batch->segment_session,
				  (Py_ssize_t)batch->segment_events, (char *)batch->segment.data,
				  (Py_ssize_t)batch->segment.used);
	batch->segment_events = 0;
	batch->segment.used = 0;
	return add_item(batch, make_item(batch, SEGMENT, arguments), -1);
}

static bool malformed(const struct record_header *header, size_t bytes)
{
	PyErr_Format(
		PyExc_RuntimeError,
		"a record of type %u with %zu bytes: the programs and the drain were not built "
		"from the same headers, build both again (scripts/build_bpf.sh)",
		(unsigned)header->type, bytes);
	return false;
}

static bool encode(struct batch *batch, const struct record_header *header, size_t bytes)
{
	if (encode_record(&batch->encoder, header, bytes))
		return true;
	if (batch->encoder.event.failed || batch->encoder.body.failed)
		return no_memory() != NULL;
	return malformed(header, bytes);
}

static bool add_event(struct batch *batch, const struct record_header *header, size_t bytes)
{
	if (batch->segment_events && batch->segment_session != header->session &&
	    !end_segment(batch))
		return false;
	if (!encode(batch, header, bytes))
		return false;
	put_bytes(&batch->segment, 1, batch->encoder.event.data, batch->encoder.event.used);
	batch->segment_session = header->session;
	batch->segment_events++;
	return batch->segment.failed ? no_memory() != NULL : true;
}

static const char *kind_of(unsigned type)
{
	switch (type) {
	case RECORD_PROCESS_FORKED:
		return "forked";
	case RECORD_PROCESS_EXECUTED:
		return "executed";
	default:
		return "exited";
	}
}

static bool add_process(struct batch *batch, const struct record_header *header, size_t bytes)
{
	const struct process_executed *executed = (const void *)header;
	bool is_familiar;
	PyObject *arguments;

	if (!end_segment(batch) || !encode(batch, header, bytes))
		return false;
	is_familiar = header->type == RECORD_PROCESS_EXECUTED && executed->familiar;
	arguments = Py_BuildValue(
		"(sKIKKy#O)", kind_of(header->type), (unsigned long long)header->session,
		header->pid, (unsigned long long)header->boot_ns,
		(unsigned long long)header->cgroup, (char *)batch->encoder.event.data,
		(Py_ssize_t)batch->encoder.event.used, is_familiar ? Py_True : Py_False);
	return add_item(batch, make_item(batch, PROCESS_RECORD, arguments), -1);
}

static bool add_networked(struct batch *batch, const struct record_header *header)
{
	PyObject *arguments = Py_BuildValue("(I)", header->pid);

	return add_item(batch, make_item(batch, PROCESS_NETWORKED, arguments), -1);
}

static bool add_payload(struct batch *batch, const struct record_header *header, size_t bytes)
{
	const struct tls_record *record = (const void *)header;
	bool began;

	if (bytes < sizeof(*record) || record->length > bytes - sizeof(*record))
		return malformed(header, bytes);
	if (!runs_add(&batch->runs, record, &began))
		return no_memory() != NULL;
	return began ? add_item(batch, NULL, batch->runs.run_count - 1) : true;
}

static bool add_opened(struct batch *batch, const struct record_header *header, size_t bytes)
{
	const struct connection_opened *record = (const void *)header;
	char address[INET6_ADDRSTRLEN];
	PyObject *arguments;

	if (bytes < sizeof(*record))
		return malformed(header, bytes);
	address_text(record->family, record->peer_address, address);
	arguments = Py_BuildValue("(KKIKsH)", (unsigned long long)record->connection,
				  (unsigned long long)header->session, header->pid,
				  (unsigned long long)header->boot_ns, address, record->peer_port);
	return add_item(batch, make_item(batch, CONNECTION_OPENED, arguments), -1);
}

static bool add_closed(struct batch *batch, const struct record_header *header, size_t bytes)
{
	const struct connection_closed *record = (const void *)header;
	PyObject *arguments;

	if (bytes < sizeof(*record))
		return malformed(header, bytes);
	runs_end(&batch->runs, record->connection);
	arguments = Py_BuildValue("(KIKKK)", (unsigned long long)record->connection, header->pid,
				  (unsigned long long)header->boot_ns,
				  (unsigned long long)record->lost_read_bytes,
				  (unsigned long long)record->lost_written_bytes);
	return add_item(batch, make_item(batch, CONNECTION_CLOSED, arguments), -1);
}

static bool add_record(struct batch *batch, const struct record_header *header, size_t bytes)
{
	if (bytes < sizeof(*header))
		return malformed(header, bytes);
	switch (header->type) {
	case RECORD_TLS_READ:
	case RECORD_TLS_WRITTEN:
		return add_payload(batch, header, bytes);
	case RECORD_CONNECTION_OPENED:
		return add_opened(batch, header, bytes);
	case RECORD_CONNECTION_CLOSED:
		return add_closed(batch, header, bytes);
	case RECORD_PROCESS_FORKED:
	case RECORD_PROCESS_EXECUTED:
	case RECORD_PROCESS_EXITED:
		return add_process(batch, header, bytes);
	case RECORD_PROCESS_NETWORKED:
		return add_networked(batch, header);
	}
	return add_event(batch, header, bytes);
}

/* Bytes as a memoryview of native integers. */
static PyObject *as_integers(PyObject *bytes, const char *format)
{
	PyObject *view = PyMemoryView_FromObject(bytes), *integers = NULL;

	if (view)
		integers = PyObject_CallMethod(view, "cast", "s", format);
	Py_XDECREF(view);
	return integers;
}

static PyObject *make_run(struct batch *batch, const struct run *run)
{
	PyObject *payload = PyBytes_FromStringAndSize(NULL, run->bytes);
	PyObject *offsets = PyBytes_FromStringAndSize(NULL, run->piece_count * sizeof(uint32_t));
	PyObject *times = PyBytes_FromStringAndSize(NULL, run->piece_count * sizeof(uint64_t));
	PyObject *offset_view = NULL, *time_view = NULL, *item = NULL;

	if (payload && offsets && times) {
		run_copy(&batch->runs, run, (uint8_t *)PyBytes_AsString(payload),
			 (uint8_t *)PyBytes_AsString(offsets), (uint8_t *)PyBytes_AsString(times));
		offset_view = as_integers(offsets, "I");
		time_view = as_integers(times, "Q");
	}
	if (offset_view && time_view)
		item = make_item(batch, TLS_RUN,
				 Py_BuildValue("(KKIIKOOOOKI)", (unsigned long long)run->connection,
					       (unsigned long long)run->session, run->pid, run->tid,
					       (unsigned long long)run->cgroup,
					       run->written ? Py_True : Py_False, payload,
					       offset_view, time_view,
					       (unsigned long long)run->lost_bytes, run->source));
	Py_XDECREF(payload);
	Py_XDECREF(offsets);
	Py_XDECREF(times);
	Py_XDECREF(offset_view);
	Py_XDECREF(time_view);
	return item;
}

/* The item that stands for run number `index`, which is no partner. */
static PyObject *make_runs(struct batch *batch, int64_t index)
{
	const struct run *run = &batch->runs.runs[index];
	PyObject *first = make_run(batch, run), *second;

	if (!first || !run->interleaved)
		return first;
	second = make_run(batch, &batch->runs.runs[run->partner]);
	if (!second) {
		Py_DECREF(first);
		return NULL;
	}
	return make_item(batch, TLS_DUPLEX, Py_BuildValue("(NN)", first, second));
}

/* Whether a run is in the item of its partner. */
static bool is_within_duplex(const struct batch *batch, int64_t index)
{
	const struct run *run = &batch->runs.runs[index];

	return run->is_partner && batch->runs.runs[run->partner].interleaved;
}

static PyObject *in_order(struct batch *batch)
{
	size_t count = batch->order.used / sizeof(int64_t), next_made = 0;
	const int64_t *order = (const int64_t *)batch->order.data;
	PyObject *items = PyList_New(0);

	for (size_t i = 0; items && i < count; i++) {
		PyObject *item;

		if (order[i] < 0)
			item = Py_XNewRef(PyList_GetItem(batch->made, next_made++));
		else if (is_within_duplex(batch, order[i]))
			continue;
		else
			item = make_runs(batch, order[i]);
		if (!item || PyList_Append(items, item))
			Py_CLEAR(items);
		Py_XDECREF(item);
	}
	return items;
}

static void begin_batch(struct batch *batch)
{
	runs_begin(&batch->runs);
	batch->order.used = 0;
	batch->segment.used = 0;
	batch->segment_events = 0;
	batch->records = 0;
	batch->more = false;
}

PyObject *batch_drain(struct batch *batch, uint64_t budget_bytes)
{
	uint64_t start = *batch->ring.consumer, position = start;
	const struct record_header *header = NULL;
	PyObject *items = NULL;
	size_t bytes;

	begin_batch(batch);
	batch->made = PyList_New(0);
	if (!batch->made)
		return NULL;
	while (position - start < budget_bytes &&
	       (header = ring_next(&batch->ring, &position, &bytes))) {
		if (!add_record(batch, header, bytes) ||
		    (!ring_account(&batch->ring, header) && !malformed(header, bytes)))
			goto done;
		batch->records++;
	}
	if (batch->ring.failed) {
		batch->ring.failed = false;
		no_memory();
		goto done;
	}
	batch->more = header && position < ring_produced(&batch->ring);
	if (end_segment(batch))
		items = in_order(batch);
done:
	Py_CLEAR(batch->made);
	if (items)
		ring_release(&batch->ring, position);
	return items;
}
