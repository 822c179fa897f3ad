/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of what tracked processes ask of a GPU. */
#pragma once

#include "lib/record.h"

/* What a hooked function does; the cookie of a hook is this plus GPU_RUNTIME, if it is of
 * libcudart. */
enum gpu_operation {
	GPU_LAUNCH = 1,
	GPU_COPY = 2,	  /* the third argument is the size */
	GPU_ALLOCATE = 3, /* the second argument is the size */
	GPU_FREE = 4,
	GPU_SYNCHRONISE = 5,
	GPU_RUNTIME = 16,
};

/* Sums since the last such record of the process and library. */
struct gpu_used {
	struct record_header header;
	__u64 launches;
	__u64 copies;
	__u64 copied_bytes;
	__u64 allocations;
	__u64 allocated_bytes;
	__u64 frees;
	__u64 synchronisations;
	__u64 synchronised_ns;
	/* 0 = libcuda, the driver; 1 = libcudart, the runtime above it */
	__u32 runtime;
	__u32 reserved;
};
