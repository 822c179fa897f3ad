/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of the shared structures as this compiler sees it, to be compared with the programs'
 * BTF. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* A new dict: structure name to {field: offset, "": size}; NULL with an exception. */
PyObject *layout_of_records(void);
