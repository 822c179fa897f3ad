/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A path inside a record. */
#pragma once

#include <linux/types.h>

/* Room for one path; longer ones are reported as incomplete. */
#define PATH_AREA_BYTES 1024

/* A path as its components from the last to the first, each ended by a zero byte. */
struct path_area {
	__u32 bytes;
	__u16 components;
	/* 0 = longer or deeper than there is room: do not use it */
	__u16 complete;
	char reversed[PATH_AREA_BYTES];
};
