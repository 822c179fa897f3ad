/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of files that tracked processes open. */
#pragma once

#include "path.h"
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
	/*
	 * Where in `data` the struct path_area is that a relative path begins at; 0 = there is
	 * none.
	 */
	__u32 directory_at;
	/* The path, zero-terminated, and what `directory_at` says. */
	char data[];
};

/* What went through a descriptor since its opening, or since the last such record of it. */
struct file_closed {
	struct record_header header;
	__u64 read_bytes;
	__u64 written_bytes;
	__u64 opened_boot_ns;
	__u32 reads;
	__u32 writes;
	__s32 fd;
	__u32 path_bytes;
	/* 1 = there will be another record of it. */
	__u32 still_open;
	/* 1 = the file was mapped so that writing to memory changes it. */
	__u32 mapped_for_writing;
	/* Zero-terminated. */
	char path[];
};

enum unseen {
	/* A ring: what goes through it is no system call. */
	UNSEEN_IO_URING = 1,
};

/* A process begins to use something through which files and sockets are used unseen. */
struct unseen_used {
	struct record_header header;
	__u32 what;
	__u32 reserved;
};

/* The values are those of enum FileOperation in events.proto. */
enum file_operation {
	FILE_RENAMED = 1,
	FILE_UNLINKED = 2,
	DIRECTORY_MADE = 3,
	DIRECTORY_REMOVED = 4,
	FILE_MODE_CHANGED = 5,
	FILE_OWNER_CHANGED = 6,
	SYMLINK_MADE = 7,
	LINK_MADE = 8,
	FILE_TRUNCATED = 9,
	DIRECTORY_ENTERED = 10,
};

/* A call that changes names, rights or lengths; also chdir. */
struct file_changed {
	struct record_header header;
	/* New length of a truncated file. */
	__u64 length_bytes;
	__u32 operation;
	/* 0 or -errno */
	__s32 result;
	/* Of chmod and mkdir. */
	__u32 mode;
	/* Of chown; 0xffffffff = as before. */
	__u32 uid;
	__u32 gid;
	/* Both with the ending zero byte; a call on a descriptor has no path. */
	__u32 path_bytes;
	/* New name of a rename, a link, or the link that points to `path`. */
	__u32 new_path_bytes;
	/* As in struct file_opened; the second path lies at `new_path_at`. */
	__u32 directory_at;
	__u32 new_path_at;
	__u32 new_directory_at;
	char data[];
};
