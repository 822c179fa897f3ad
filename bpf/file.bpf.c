/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Files that tracked processes open, and what they read and wrote through each of them.
 *
 * One program after every system call of the machine, so user space attaches it only while there is
 * a tracked process. Sums are kept per file descriptor and told at close. Not seen: descriptors
 * that were inherited, duplicated or received, memory mappings, io_uring.
 */
#include <asm/unistd_64.h>

#include "file.h"
#include "lib/ring.bpf.h"
#include "lib/sessions.bpf.h"
#include "stdio.bpf.c"

#define TS_COMPAT 2

struct descriptor {
	__u32 tgid;
	__s32 fd;
};

struct open_file {
	__u64 session;
	__u64 read_bytes;
	__u64 written_bytes;
	__u64 opened_boot_ns;
	__u32 reads;
	__u32 writes;
	__u32 path_bytes;
	__u32 reserved;
	char path[KEPT_PATH_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, struct descriptor);
	__type(value, struct open_file);
} open_files SEC(".maps");

/* Initial value of an entry; the path is then read into the entry itself. */
static const struct open_file no_file = {};

static __noinline int emit_closed(struct descriptor *key, struct open_file *file)
{
	struct file_closed *record = begin_record(CLASS_FILE, RECORD_FILE_CLOSED, sizeof(*record),
						  file->path_bytes, file->session);

	if (!record)
		return 0;
	record->header.pid = key->tgid;
	record->read_bytes = file->read_bytes;
	record->written_bytes = file->written_bytes;
	record->opened_boot_ns = file->opened_boot_ns;
	record->reads = file->reads;
	record->writes = file->writes;
	record->fd = key->fd;
	record->path_bytes = file->path_bytes;
	__builtin_memcpy(record->path, file->path, sizeof(record->path));
	submit_record(CLASS_FILE, record, file->path_bytes);
	return 0;
}

static __always_inline void close_file(struct descriptor *key)
{
	struct open_file *file = bpf_map_lookup_elem(&open_files, key);

	if (!file)
		return;
	emit_closed(key, file);
	bpf_map_delete_elem(&open_files, key);
}

/* Begin to sum up what happens on a new descriptor. */
static __noinline int note_open(struct descriptor *key, __u64 session, __u64 path_at)
{
	struct open_file *file;
	long bytes;

	/* The old file was closed unseen: by exec, close_range or dup2. */
	close_file(key);
	if (bpf_map_update_elem(&open_files, key, &no_file, BPF_ANY)) {
		COUNT(CLASS_FILE, map_full, 1);
		return 0;
	}
	file = bpf_map_lookup_elem(&open_files, key);
	if (!file)
		return 0;
	file->session = session;
	file->opened_boot_ns = bpf_ktime_get_boot_ns();
	bytes = bpf_probe_read_user_str(file->path, sizeof(file->path), (void *)path_at);
	if (bytes > 0)
		file->path_bytes = bytes;
	if (bytes == KEPT_PATH_BYTES)
		COUNT(CLASS_FILE, truncated, 1);
	return 0;
}

struct opening {
	__u64 path_at;
	__u64 session;
	__u32 flags;
	__s32 result;
};

#define OPENED_IF_FITS(room)                                                                    \
	if (bytes <= (room)) {                                                                  \
		record = begin_record(CLASS_FILE, RECORD_FILE_OPENED, sizeof(*record) + (room), \
				      bytes, opening->session);                                 \
		if (!record)                                                                    \
			return 0;                                                               \
		record->flags = opening->flags;                                                 \
		record->result = opening->result;                                               \
		record->reserved = 0;                                                           \
		read = bpf_probe_read_user_str(record->path, room, (void *)opening->path_at);   \
		if (read <= 0) {                                                                \
			discard_unreadable(CLASS_FILE, record, bytes);                          \
			return 0;                                                               \
		}                                                                               \
		record->path_bytes = read;                                                      \
		submit_record(CLASS_FILE, record, bytes);                                       \
		return 0;                                                                       \
	}

static __noinline int emit_opened(struct opening *opening)
{
	char start[KEPT_PATH_BYTES];
	struct file_opened *record;
	long bytes, read;

	/* How long is it? The result says so only up to the size of the buffer. */
	bytes = bpf_probe_read_user_str(start, sizeof(start), (void *)opening->path_at);
	if (bytes < 0)
		bytes = 0; /* open() failed with EFAULT, or the page is gone: tell it without path
			    */
	if (bytes == sizeof(start))
		bytes = 4096; /* PATH_MAX */
	if (!bytes) {
		record = begin_record(CLASS_FILE, RECORD_FILE_OPENED, sizeof(*record), 0,
				      opening->session);
		if (!record)
			return 0;
		record->flags = opening->flags;
		record->result = opening->result;
		record->path_bytes = 0;
		record->reserved = 0;
		submit_record(CLASS_FILE, record, 0);
		COUNT(CLASS_FILE, truncated, 1);
		return 0;
	}
	OPENED_IF_FITS(64);
	OPENED_IF_FITS(256);
	OPENED_IF_FITS(4096);
	return 0;
}

static __always_inline void add_read(__u32 tgid, __s32 fd, long bytes)
{
	struct descriptor key = {.tgid = tgid, .fd = fd};
	struct open_file *file = bpf_map_lookup_elem(&open_files, &key);

	if (!file)
		return;
	__sync_fetch_and_add(&file->read_bytes, bytes);
	__sync_fetch_and_add(&file->reads, 1);
}

static __always_inline void add_write(__u32 tgid, __s32 fd, long bytes)
{
	struct descriptor key = {.tgid = tgid, .fd = fd};
	struct open_file *file = bpf_map_lookup_elem(&open_files, &key);

	if (!file)
		return;
	__sync_fetch_and_add(&file->written_bytes, bytes);
	__sync_fetch_and_add(&file->writes, 1);
}

static __always_inline void opened(struct opening *opening)
{
	struct descriptor key = {.tgid = bpf_get_current_pid_tgid() >> 32, .fd = opening->result};

	if (opening->result >= 0)
		note_open(&key, opening->session, opening->path_at);
	emit_opened(opening);
}

static __always_inline __u32 openat2_flags(__u64 how_at)
{
	__u64 flags = 0;

	if (bpf_probe_read_user(&flags, sizeof(flags), (void *)how_at))
		COUNT(CLASS_FILE, truncated, 1);
	return flags;
}

/* creat(2): as open with these flags (O_CREAT | O_WRONLY | O_TRUNC). */
#define CREAT_FLAGS 01101

SEC("tp_btf/sys_exit")
int BPF_PROG(file_call_ended, struct pt_regs *regs, long result)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct opening opening = {.result = result};
	struct descriptor key = {.tgid = tgid};

	if (switched_off())
		return 0;
	opening.session = session_of(tgid);
	if (!opening.session || bpf_get_current_task_btf()->thread_info.status & TS_COMPAT)
		return 0;
	if (result >= 0 && control.stdio)
		stdio_call_ended(regs, tgid, opening.session, result);
	if (!control.files)
		return 0;
	switch (regs->orig_rax) {
	case __NR_openat:
		opening.path_at = regs->rsi;
		opening.flags = regs->rdx;
		opened(&opening);
		return 0;
	case __NR_openat2:
		opening.path_at = regs->rsi;
		opening.flags = openat2_flags(regs->rdx);
		opened(&opening);
		return 0;
	case __NR_open:
		opening.path_at = regs->rdi;
		opening.flags = regs->rsi;
		opened(&opening);
		return 0;
	case __NR_creat:
		opening.path_at = regs->rdi;
		opening.flags = CREAT_FLAGS;
		opened(&opening);
		return 0;
	case __NR_close:
		key.fd = regs->rdi;
		close_file(&key);
		return 0;
	}
	if (result < 0)
		return 0;
	switch (regs->orig_rax) {
	case __NR_read:
	case __NR_pread64:
	case __NR_readv:
	case __NR_preadv:
	case __NR_preadv2:
		add_read(tgid, regs->rdi, result);
		break;
	case __NR_write:
	case __NR_pwrite64:
	case __NR_writev:
	case __NR_pwritev:
	case __NR_pwritev2:
		add_write(tgid, regs->rdi, result);
		break;
	case __NR_sendfile:
		add_write(tgid, regs->rdi, result);
		add_read(tgid, regs->rsi, result);
		break;
	case __NR_copy_file_range:
		add_read(tgid, regs->rdi, result);
		add_write(tgid, regs->rdx, result);
		break;
	}
	return 0;
}

struct bpf_map;

static long close_if_of(struct bpf_map *map, struct descriptor *key, struct open_file *file,
			__u32 *tgid)
{
	struct descriptor copy = *key;

	if (copy.tgid == *tgid) {
		emit_closed(&copy, file);
		bpf_map_delete_elem(&open_files, &copy);
	}
	return 0;
}

/* The process ends: tell about the files that it leaves open. */
static __always_inline void close_files_of(__u32 tgid)
{
	bpf_for_each_map_elem(&open_files, close_if_of, &tgid, 0);
}
