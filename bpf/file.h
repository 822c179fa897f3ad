/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of files that tracked processes open. */
#pragma once

#include "lib/record.h"

/* Of a path at most so much is kept until the file is closed. */
#define KEPT_PATH_BYTES 256

struct file_opened {
	struct record_header header;
	__u32 flags;
	/* File descriptor, or -errno. */
	__s32 result;
	/* With the ending zero byte. */
	__u32 path_bytes;
	__u32 reserved;
	char path[];
};

struct file_closed {
	struct record_header header;
	__u64 read_bytes;
	__u64 written_bytes;
	__u64 opened_boot_ns;
	__u32 reads;
	__u32 writes;
	__s32 fd;
	__u32 path_bytes;
	char path[KEPT_PATH_BYTES];
};
