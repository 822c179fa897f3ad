/* SPDX-License-Identifier: Apache-2.0 */
/* The Python face of the drain: agentsight_agent.bpf._drain, see _drain.pyi. */
#include <errno.h>
#include <string.h>

#include "batch.h"
#include "file.h"
#include "layout.h"
#include "net.h"
#include "process.h"

typedef struct {
	PyObject ob_base;
	struct batch batch;
	uint64_t reported_missing;
} RingObject;

static int ring_init(RingObject *self, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"map_fd", "ring_bytes", "cpu_count", "item_types", NULL};
	Py_ssize_t ring_bytes, cpu_count;
	PyObject *types;
	int map_fd;

	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "innO!", names, &map_fd, &ring_bytes,
					 &cpu_count, &PyTuple_Type, &types))
		return -1;
	if (self->batch.ring.data || PyTuple_Size(types) != ITEM_TYPES) {
		PyErr_Format(PyExc_ValueError, "a Ring is made once, with %d item types",
			     (int)ITEM_TYPES);
		return -1;
	}
	if (!ring_open(&self->batch.ring, map_fd, ring_bytes, cpu_count)) {
		PyErr_SetFromErrno(PyExc_OSError);
		return -1;
	}
	for (int i = 0; i < ITEM_TYPES; i++)
		self->batch.item_types[i] = Py_NewRef(PyTuple_GetItem(types, i));
	return 0;
}

static PyObject *ring_drain(RingObject *self, PyObject *arguments)
{
	long long wall_offset_ns;
	unsigned long long budget_bytes;
	uint64_t missing, lost;
	PyObject *items;

	if (!PyArg_ParseTuple(arguments, "LK", &wall_offset_ns, &budget_bytes))
		return NULL;
	if (!self->batch.ring.data) {
		PyErr_SetString(PyExc_ValueError, "the ring is closed");
		return NULL;
	}
	self->batch.encoder.wall_offset_ns = wall_offset_ns;
	items = batch_drain(&self->batch, budget_bytes);
	if (!items)
		return NULL;
	missing = ring_missing(&self->batch.ring);
	/* Less than before: numbers that were missing came late. */
	lost = missing > self->reported_missing ? missing - self->reported_missing : 0;
	self->reported_missing += lost;
	return Py_BuildValue("(NnKO)", items, (Py_ssize_t)self->batch.records,
			     (unsigned long long)lost, self->batch.more ? Py_True : Py_False);
}

static PyObject *ring_is_empty(RingObject *self, PyObject *unused)
{
	const struct ring *ring = &self->batch.ring;

	if (!ring->data) {
		PyErr_SetString(PyExc_ValueError, "the ring is closed");
		return NULL;
	}
	return PyBool_FromLong(*ring->consumer == ring_produced(ring));
}

static PyObject *ring_close_method(RingObject *self, PyObject *unused)
{
	struct batch *batch = &self->batch;

	ring_close(&batch->ring);
	runs_free(&batch->runs);
	encoder_free(&batch->encoder);
	buffer_free(&batch->segment);
	buffer_free(&batch->order);
	for (int i = 0; i < ITEM_TYPES; i++)
		Py_CLEAR(batch->item_types[i]);
	Py_RETURN_NONE;
}

static void ring_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	freefunc release = PyType_GetSlot(type, Py_tp_free);

	Py_XDECREF(ring_close_method((RingObject *)self, NULL));
	release(self);
	Py_DECREF(type);
}

static PyMethodDef ring_methods[] = {
	{"drain", (PyCFunction)ring_drain, METH_VARARGS, NULL},
	{"is_empty", (PyCFunction)ring_is_empty, METH_NOARGS, NULL},
	{"close", (PyCFunction)ring_close_method, METH_NOARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static PyType_Slot ring_slots[] = {
	{Py_tp_init, ring_init},
	{Py_tp_dealloc, ring_dealloc},
	{Py_tp_methods, ring_methods},
	{0, NULL},
};

static PyType_Spec ring_spec = {
	.name = "agentsight_agent.bpf._drain.Ring",
	.basicsize = sizeof(RingObject),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = ring_slots,
};

static struct PyModuleDef module = {
	PyModuleDef_HEAD_INIT,
	.m_name = "_drain",
	.m_size = -1,
};

PyMODINIT_FUNC PyInit__drain(void)
{
	PyObject *self = PyModule_Create(&module);
	PyObject *ring = PyType_FromSpec(&ring_spec);
	PyObject *layout = layout_of_records();

	if (!self || !ring || !layout || PyModule_AddObjectRef(self, "Ring", ring) ||
	    PyModule_AddObjectRef(self, "LAYOUT", layout))
		Py_CLEAR(self);
	Py_XDECREF(ring);
	Py_XDECREF(layout);
	return self;
}
