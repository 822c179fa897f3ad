/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * System calls that change names, rights or lengths of files, and the working directory.
 *
 * Included by file.bpf.c, whose program asks here about the calls it does not know. Failed calls
 * are told as well. A relative path comes with the directory that it begins at.
 */

#include "file.h"
#include "lib/descriptor.bpf.h"
#include "lib/limits.bpf.h"
#include "lib/prefixes.bpf.h"
#include "lib/ring.bpf.h"

#define UNCHANGED 0xffffffff
#define MAX_PATH  4096
/* Newer than the headers of some systems. */
#define FCHMODAT2 452

/* One call; a path at 0 means the descriptor itself. */
struct change {
	__u64 session;
	__u64 path_at;
	__u64 new_path_at;
	__u64 length_bytes;
	__s32 directory;
	__s32 new_directory;
	__u32 operation;
	__s32 result;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u32 reserved;
};

/* A path that does not begin at the root needs the directory that it begins at. */
static __always_inline bool is_relative(__u64 path_at)
{
	char first = 0;

	if (!path_at)
		return true;
	bpf_probe_read_user(&first, 1, (void *)path_at);
	return first != '/';
}

/* Bytes with the ending zero; KEPT_PATH_BYTES means: so many or more. */
static __noinline long path_bytes(__u64 path_at)
{
	SCRATCH(start, KEPT_PATH_BYTES);
	long bytes = 0;

	if (path_at)
		bytes = bpf_probe_read_user_str(start, KEPT_PATH_BYTES, (void *)path_at);
	return bytes < 0 ? 0 : bytes;
}

static __always_inline __u32 read_path(char *path, const __u32 room, __u64 path_at)
{
	long bytes = path_at ? bpf_probe_read_user_str(path, room, (void *)path_at) : 0;

	/* The call had EFAULT, or the page is gone: told without the path. */
	if (bytes < 0) {
		COUNT(CLASS_FILE, truncated, 1);
		return 0;
	}
	return bytes;
}

static __always_inline void put_change(struct change *change, __u64 bytes, const __u32 room,
				       const bool both, const bool directories)
{
	const __u32 paths = both ? 2 * room : room;
	const __u32 areas = directories ? (both ? 2 : 1) * sizeof(struct path_area) : 0;
	struct file_changed *record =
		begin_record(CLASS_FILE, RECORD_FILE_CHANGED, sizeof(*record) + paths + areas,
			     bytes, change->session);

	if (!record)
		return;
	record->length_bytes = change->length_bytes;
	record->operation = change->operation;
	record->result = change->result;
	record->mode = change->mode;
	record->uid = change->uid;
	record->gid = change->gid;
	record->path_bytes = read_path(record->data, room, change->path_at);
	record->directory_at = 0;
	record->new_path_bytes = 0;
	record->new_path_at = both ? room : 0;
	record->new_directory_at = 0;
	/* What a symbolic link says begins at the link, not here. */
	if (directories && change->operation != SYMLINK_MADE && is_relative(change->path_at)) {
		record->directory_at = paths;
		collect_descriptor_path((void *)record->data + paths, change->directory);
	}
	if (both)
		record->new_path_bytes = read_path(record->data + room, room, change->new_path_at);
	if (both && directories && is_relative(change->new_path_at)) {
		record->new_directory_at = paths + sizeof(struct path_area);
		collect_descriptor_path((void *)record->data + paths + sizeof(struct path_area),
					change->new_directory);
	}
	submit_record(CLASS_FILE, record, bytes);
}

static __noinline int emit_change(struct change *change)
{
	long first, second = 0;
	bool relative;

	if (!change)
		return 0;
	first = path_bytes(change->path_at);
	relative = is_relative(change->path_at);
	if (change->new_path_at) {
		second = path_bytes(change->new_path_at);
		relative |= is_relative(change->new_path_at);
	}
	if (first == KEPT_PATH_BYTES || second == KEPT_PATH_BYTES)
		put_change(change, first + second, MAX_PATH, true, true);
	else if (change->new_path_at)
		put_change(change, first + second, KEPT_PATH_BYTES, true, true);
	else if (relative)
		put_change(change, first, KEPT_PATH_BYTES, false, true);
	else
		put_change(change, first, KEPT_PATH_BYTES, false, false);
	return 0;
}

static __always_inline void rename_or_link(struct change *change, __u32 operation, __u64 path_at,
					   __u64 new_path_at)
{
	change->operation = operation;
	change->path_at = path_at;
	change->new_path_at = new_path_at;
}

/* Names: false if the call is none of these. */
static __always_inline bool names_changed(struct change *change, struct pt_regs *regs)
{
	switch (SYSCALL_NUMBER(regs)) {
	case __NR_rename:
		rename_or_link(change, FILE_RENAMED, SYSCALL_ARG1(regs), SYSCALL_ARG2(regs));
		return true;
	case __NR_link:
		rename_or_link(change, LINK_MADE, SYSCALL_ARG1(regs), SYSCALL_ARG2(regs));
		return true;
	case __NR_symlink:
		rename_or_link(change, SYMLINK_MADE, SYSCALL_ARG1(regs), SYSCALL_ARG2(regs));
		return true;
	case __NR_symlinkat:
		rename_or_link(change, SYMLINK_MADE, SYSCALL_ARG1(regs), SYSCALL_ARG3(regs));
		change->new_directory = SYSCALL_ARG2(regs);
		return true;
	case __NR_renameat:
	case __NR_renameat2:
	case __NR_linkat:
		rename_or_link(change,
			       SYSCALL_NUMBER(regs) == __NR_linkat ? LINK_MADE : FILE_RENAMED,
			       SYSCALL_ARG2(regs), SYSCALL_ARG4(regs));
		change->directory = SYSCALL_ARG1(regs);
		change->new_directory = SYSCALL_ARG3(regs);
		return true;
	case __NR_unlink:
	case __NR_rmdir:
		change->operation =
			SYSCALL_NUMBER(regs) == __NR_rmdir ? DIRECTORY_REMOVED : FILE_UNLINKED;
		change->path_at = SYSCALL_ARG1(regs);
		return true;
	case __NR_unlinkat:
		change->operation =
			SYSCALL_ARG3(regs) & AT_REMOVEDIR ? DIRECTORY_REMOVED : FILE_UNLINKED;
		change->directory = SYSCALL_ARG1(regs);
		change->path_at = SYSCALL_ARG2(regs);
		return true;
	case __NR_chdir:
	case __NR_fchdir:
		change->operation = DIRECTORY_ENTERED;
		if (change->result >= 0)
			return true; /* the working directory is where it went */
		if (SYSCALL_NUMBER(regs) == __NR_chdir)
			change->path_at = SYSCALL_ARG1(regs);
		else
			change->directory = SYSCALL_ARG1(regs);
		return true;
	}
	return false;
}

/* Rights, owners, lengths, new directories: false if the call is none of these. */
static __always_inline bool rights_changed(struct change *change, struct pt_regs *regs)
{
	switch (SYSCALL_NUMBER(regs)) {
	case __NR_mkdir:
	case __NR_chmod:
		change->operation =
			SYSCALL_NUMBER(regs) == __NR_mkdir ? DIRECTORY_MADE : FILE_MODE_CHANGED;
		change->path_at = SYSCALL_ARG1(regs);
		change->mode = SYSCALL_ARG2(regs);
		return true;
	case __NR_mkdirat:
	case __NR_fchmodat:
	case FCHMODAT2:
		change->operation =
			SYSCALL_NUMBER(regs) == __NR_mkdirat ? DIRECTORY_MADE : FILE_MODE_CHANGED;
		change->directory = SYSCALL_ARG1(regs);
		change->path_at = SYSCALL_ARG2(regs);
		change->mode = SYSCALL_ARG3(regs);
		return true;
	case __NR_fchmod:
		change->operation = FILE_MODE_CHANGED;
		change->directory = SYSCALL_ARG1(regs);
		change->mode = SYSCALL_ARG2(regs);
		return true;
	case __NR_chown:
	case __NR_lchown:
	case __NR_fchown:
		change->operation = FILE_OWNER_CHANGED;
		if (SYSCALL_NUMBER(regs) == __NR_fchown)
			change->directory = SYSCALL_ARG1(regs);
		else
			change->path_at = SYSCALL_ARG1(regs);
		change->uid = SYSCALL_ARG2(regs);
		change->gid = SYSCALL_ARG3(regs);
		return true;
	case __NR_fchownat:
		change->operation = FILE_OWNER_CHANGED;
		change->directory = SYSCALL_ARG1(regs);
		change->path_at = SYSCALL_ARG2(regs);
		change->uid = SYSCALL_ARG3(regs);
		change->gid = SYSCALL_ARG4(regs);
		return true;
	case __NR_truncate:
	case __NR_ftruncate:
		change->operation = FILE_TRUNCATED;
		if (SYSCALL_NUMBER(regs) == __NR_ftruncate)
			change->directory = SYSCALL_ARG1(regs);
		else
			change->path_at = SYSCALL_ARG1(regs);
		change->length_bytes = SYSCALL_ARG2(regs);
		return true;
	}
	return false;
}

/* One that leads from what is not wanted to what is, or back, is wanted. */
static __always_inline bool is_wanted_change(struct change *change)
{
	if (control.path_filter == PATHS_ALL)
		return true;
	/* What a symbolic link says is no file that is touched. */
	if (change->operation != SYMLINK_MADE && wants_path(change->path_at, change->directory))
		return true;
	if (change->new_path_at && wants_path(change->new_path_at, change->new_directory))
		return true;
	COUNT(CLASS_FILE, filtered, 1);
	return false;
}

/* Tell the change that the call was, if it was one. */
static __always_inline void change_call_ended(struct pt_regs *regs, __u64 session, long result)
{
	struct change change = {
		.session = session,
		.directory = AT_FDCWD,
		.new_directory = AT_FDCWD,
		.result = result,
		.uid = UNCHANGED,
		.gid = UNCHANGED,
	};

	if (!names_changed(&change, regs) && !rights_changed(&change, regs))
		return;
	FORGET_BOUNDS(change.operation, session);
	FORGET_BOUNDS(change.directory, session);
	FORGET_BOUNDS(change.new_directory, session);
	FORGET_BOUNDS(change.path_at, session);
	FORGET_BOUNDS(change.new_path_at, session);
	/* Where a process is matters to all that it does later. */
	if (change.operation == DIRECTORY_ENTERED ||
	    (is_wanted_change(&change) && admits(session, CLASS_FILE)))
		emit_change(&change);
}
