/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which files are to be recorded, by what their paths begin with; the longest beginning decides.
 *
 * A path is taken as the process names it; one that is relative begins at its directory. `..` and
 * symbolic links stay.
 */
#pragma once

#include "descriptor.bpf.h"
#include "ring.bpf.h"

/* Of a path no more is compared. */
#define PREFIX_BYTES 128

enum prefix_verdict {
	PREFIX_UNWANTED = 1,
	PREFIX_WANTED = 2,
};

struct path_prefix {
	/* How many bits of `path` count. */
	__u32 bits;
	char path[PREFIX_BYTES];
};

/* User space gives each path twice: with a slash behind it, and with the zero byte. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct path_prefix);
	__type(value, __u8);
} MAP(path_prefixes);

/* The directory ends, and what follows it begins, at DIRECTORY_END. */
#define DIRECTORY_END PATH_AREA_BYTES

struct path_text {
	struct path_prefix prefix;
	char text[DIRECTORY_END + MAX_NAME_BYTES + PREFIX_BYTES];
};

/* Used by one program only, which does not run twice at once on a CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct path_text);
} MAP(path_texts);

struct prefix_walk {
	struct path_text *path;
	struct path_position at;
	__u64 used;
	__u64 complete;
};

/* Puts one name in front of what there is; returns 1 to end the walk. */
static long prepend_name(__u32 step, struct prefix_walk *walk)
{
	struct dentry *named = NULL;
	enum climbed climbed = climb(&walk->at, &named);
	__u64 begin, length;

	if (climbed != CLIMBED_NAME) {
		walk->complete = climbed == CLIMBED_TO_ROOT;
		return climbed != CLIMBED_MOUNT;
	}
	length = BPF_CORE_READ(named, d_name.len);
	if (length >= MAX_NAME_BYTES || walk->used + length + 1 > DIRECTORY_END)
		return 1;
	walk->used += length + 1;
	FORGET_BOUNDS(walk->used, named);
	begin = DIRECTORY_END - walk->used;
	/* What has been made sure, for the verifier; opaque to the compiler. */
	asm volatile("%0 &= %1" : "+r"(begin) : "i"(DIRECTORY_END - 1));
	asm volatile("%0 &= %1" : "+r"(length) : "i"(MAX_NAME_BYTES - 1));
	walk->path->text[begin] = '/';
	bpf_probe_read_kernel(walk->path->text + begin + 1, length,
			      BPF_CORE_READ(named, d_name.name));
	return 0;
}

/* Put the path of a directory, or of the file of a descriptor, in front; false if it is too long.
 */
static __always_inline bool prepend_path(struct path_text *path, __s32 fd, __u32 *used)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct prefix_walk walk = {.path = path};
	struct file *file;

	if (fd == AT_FDCWD) {
		begin_climb(&walk.at, BPF_CORE_READ(task, fs, pwd.mnt),
			    BPF_CORE_READ(task, fs, pwd.dentry));
	} else {
		file = file_of_descriptor(fd);
		if (!file)
			return false;
		begin_climb(&walk.at, BPF_CORE_READ(file, f_path.mnt),
			    BPF_CORE_READ(file, f_path.dentry));
	}
	bpf_loop(MAX_PATH_STEPS, prepend_name, &walk, 0);
	*used = walk.used;
	return walk.complete;
}

/* Both parts of the path into the prefix; false if it is not known where it begins. */
static __always_inline bool join_path(struct path_text *path, __u64 path_at, __s32 fd)
{
	char start[2] = {};
	__u32 used = 0;
	__u64 begin;

	path->text[DIRECTORY_END] = 0;
	if (path_at) {
		bpf_probe_read_user(start, sizeof(start), (void *)path_at);
		if (start[0] == '.' && start[1] == '/')
			path_at += 2;
		path->text[DIRECTORY_END] = '/';
		if (bpf_probe_read_user_str(path->text + DIRECTORY_END + 1, PREFIX_BYTES,
					    (void *)path_at) < 0)
			return false;
	}
	if (!prepend_path(path, fd, &used))
		return false;
	begin = DIRECTORY_END - used;
	asm volatile("if %0 <= %1 goto +1\n\t%0 = %1" : "+r"(begin) : "i"(DIRECTORY_END));
	bpf_probe_read_kernel(path->prefix.path, PREFIX_BYTES, path->text + begin);
	return true;
}

/* `path_at` 0 = the file of the descriptor itself. */
static __noinline bool wants_path(__u64 path_at, __s32 fd)
{
	__u32 zero = 0;
	struct path_text *path = bpf_map_lookup_elem(&path_texts, &zero);
	__u8 *verdict;
	char first = 0;

	if (!path)
		return true;
	if (path_at)
		bpf_probe_read_user(&first, sizeof(first), (void *)path_at);
	if (first == '/')
		bpf_probe_read_user_str(path->prefix.path, PREFIX_BYTES, (void *)path_at);
	else if (!join_path(path, path_at, fd))
		return true;
	path->prefix.bits = PREFIX_BYTES * 8;
	verdict = bpf_map_lookup_elem(&path_prefixes, &path->prefix);
	return verdict ? *verdict == PREFIX_WANTED : control.path_filter == PATHS_WANTED;
}

/* Is what happens to a file to be recorded? What is not is counted. */
static __always_inline bool is_wanted_path(__u64 path_at, __s32 fd)
{
	if (control.path_filter == PATHS_ALL || wants_path(path_at, fd))
		return true;
	COUNT(CLASS_FILE, filtered, 1);
	return false;
}
