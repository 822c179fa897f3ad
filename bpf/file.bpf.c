/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Files that tracked processes open, and what they read and wrote through each of them.
 *
 * One program after every system call of the machine, so user space attaches it only while there is
 * a tracked process. Sums are kept per file descriptor and told at close, and every TELL_NS while
 * something happens. A duplicate of a descriptor has sums of its own. Not seen: descriptors that
 * were inherited or received, how much went through a memory mapping, io_uring.
 */
#include <asm/unistd_64.h>

#include "file.h"
#include "change.bpf.c"
#include "limit.bpf.c"
#include "lib/ring.bpf.h"
#include "lib/origins.bpf.h"
#include "lib/sessions.bpf.h"
#include "stdio.bpf.c"
#include "udp.bpf.c"

/* A file that stays open is told this often, if something goes through it. */
#define TELL_NS		10000000000ull
#define PROT_WRITE	2
#define MAP_SHARED	1
#define MAP_TYPE	15 /* MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE */
#define F_DUPFD		0
#define F_DUPFD_CLOEXEC 1030

struct descriptor {
	__u32 tgid;
	__s32 fd;
};

struct open_file {
	__u64 session;
	__u64 read_bytes;
	__u64 written_bytes;
	__u64 opened_boot_ns;
	__u64 told_boot_ns;
	__u64 looked_jiffies;
	__u32 reads;
	__u32 writes;
	__u32 path_bytes;
	__u32 mapped_for_writing;
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

/* Tell the sums, which begin anew. */
static __noinline int emit_closed(struct descriptor *key, struct open_file *file, __u32 still_open)
{
	struct file_closed *record = begin_record(CLASS_FILE, RECORD_FILE_CLOSED, sizeof(*record),
						  file->path_bytes, file->session);

	if (!record)
		return 0;
	record->header.pid = key->tgid;
	record->read_bytes = __sync_lock_test_and_set(&file->read_bytes, 0);
	record->written_bytes = __sync_lock_test_and_set(&file->written_bytes, 0);
	record->opened_boot_ns = file->opened_boot_ns;
	record->reads = __sync_lock_test_and_set(&file->reads, 0);
	record->writes = __sync_lock_test_and_set(&file->writes, 0);
	record->fd = key->fd;
	record->path_bytes = file->path_bytes;
	record->still_open = still_open;
	record->mapped_for_writing = file->mapped_for_writing;
	__builtin_memcpy(record->path, file->path, sizeof(record->path));
	submit_record(CLASS_FILE, record, file->path_bytes);
	return 0;
}

static __always_inline void close_file(struct descriptor *key)
{
	struct open_file *file = bpf_map_lookup_elem(&open_files, key);

	if (!file)
		return;
	emit_closed(key, file, 0);
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
	file->told_boot_ns = file->opened_boot_ns;
	file->looked_jiffies = bpf_jiffies64();
	bytes = bpf_probe_read_user_str(file->path, sizeof(file->path), (void *)path_at);
	if (bytes > 0)
		file->path_bytes = bytes;
	if (bytes == KEPT_PATH_BYTES)
		COUNT(CLASS_FILE, truncated, 1);
	return 0;
}

/* `fd` is now another descriptor of the file of `key`. */
static __noinline int duplicate_file(struct descriptor *key, __s32 fd)
{
	struct descriptor copy = {.tgid = key->tgid, .fd = fd};
	struct open_file *file, *original;

	if (fd == key->fd)
		return 0;
	close_file(&copy);
	original = bpf_map_lookup_elem(&open_files, key);
	if (!original)
		return 0;
	/* The map takes a copy: the value of another entry may be given as it is. */
	if (bpf_map_update_elem(&open_files, &copy, original, BPF_ANY)) {
		COUNT(CLASS_FILE, map_full, 1);
		return 0;
	}
	file = bpf_map_lookup_elem(&open_files, &copy);
	if (!file)
		return 0;
	file->read_bytes = 0;
	file->written_bytes = 0;
	file->reads = 0;
	file->writes = 0;
	file->mapped_for_writing = 0;
	file->opened_boot_ns = bpf_ktime_get_boot_ns();
	return 0;
}

struct opening {
	__u64 path_at;
	__u64 session;
	__u32 flags;
	__s32 result;
	__s32 directory;
	__u32 reserved;
};

static __always_inline void put_opened(struct opening *opening, __u64 bytes, const __u32 room,
				       const bool relative)
{
	const __u32 area = relative ? sizeof(struct path_area) : 0;
	struct file_opened *record =
		begin_record(CLASS_FILE, RECORD_FILE_OPENED, sizeof(*record) + room + area, bytes,
			     opening->session);

	if (!record)
		return;
	record->flags = opening->flags;
	record->result = opening->result;
	record->path_bytes = room ? read_path(record->data, room, opening->path_at) : 0;
	record->directory_at = relative ? room : 0;
	if (relative)
		collect_descriptor_path((void *)record->data + room, opening->directory);
	submit_record(CLASS_FILE, record, bytes);
}

static __noinline int emit_opened(struct opening *opening)
{
	long bytes;

	if (!opening)
		return 0;
	bytes = path_bytes(opening->path_at);
	if (!bytes) {
		/* open() failed with EFAULT, or the page is gone: tell it without path */
		put_opened(opening, 0, 0, false);
		COUNT(CLASS_FILE, truncated, 1);
	} else if (is_relative(opening->path_at)) {
		if (bytes < KEPT_PATH_BYTES)
			put_opened(opening, bytes, KEPT_PATH_BYTES, true);
		else
			put_opened(opening, bytes, MAX_PATH, true);
	} else if (bytes <= 64) {
		put_opened(opening, bytes, 64, false);
	} else if (bytes < KEPT_PATH_BYTES) {
		put_opened(opening, bytes, KEPT_PATH_BYTES, false);
	} else {
		put_opened(opening, bytes, MAX_PATH, false);
	}
	return 0;
}

/* Tell what has gone through a file that stays open, from time to time. */
static __always_inline void tell_sometimes(struct descriptor *key, struct open_file *file)
{
	__u64 now = bpf_jiffies64(), now_ns;

	/* Jiffies cost next to nothing, but nobody says here how long they are. */
	if (now - file->looked_jiffies < LOOK_JIFFIES)
		return;
	file->looked_jiffies = now;
	now_ns = bpf_ktime_get_boot_ns();
	if (now_ns - file->told_boot_ns < TELL_NS)
		return;
	file->told_boot_ns = now_ns;
	emit_closed(key, file, 1);
}

static __always_inline void add_read(__u32 tgid, __s32 fd, long bytes)
{
	struct descriptor key = {.tgid = tgid, .fd = fd};
	struct open_file *file = bpf_map_lookup_elem(&open_files, &key);

	if (!file)
		return;
	__sync_fetch_and_add(&file->read_bytes, bytes);
	__sync_fetch_and_add(&file->reads, 1);
	tell_sometimes(&key, file);
}

static __always_inline void add_write(__u32 tgid, __s32 fd, long bytes)
{
	struct descriptor key = {.tgid = tgid, .fd = fd};
	struct open_file *file = bpf_map_lookup_elem(&open_files, &key);

	if (!file)
		return;
	__sync_fetch_and_add(&file->written_bytes, bytes);
	__sync_fetch_and_add(&file->writes, 1);
	tell_sometimes(&key, file);
}

/* mmap(2): writing to memory will change the file. */
static __always_inline void note_mapped(__u32 tgid, struct pt_regs *regs)
{
	struct descriptor key = {.tgid = tgid, .fd = regs->r8};
	struct open_file *file;

	if (!(regs->rdx & PROT_WRITE) || !(regs->r10 & MAP_SHARED) || (regs->r10 & MAP_TYPE) == 2)
		return;
	file = bpf_map_lookup_elem(&open_files, &key);
	if (file)
		file->mapped_for_writing = 1;
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

/* A successful call that uses a descriptor; false if it is none of these. */
static __always_inline bool used_call_ended(struct pt_regs *regs, __u32 tgid, long result)
{
	struct descriptor key = {.tgid = tgid};

	switch (regs->orig_rax) {
	case __NR_read:
	case __NR_pread64:
	case __NR_readv:
	case __NR_preadv:
	case __NR_preadv2:
		add_read(tgid, regs->rdi, result);
		return true;
	case __NR_write:
	case __NR_pwrite64:
	case __NR_writev:
	case __NR_pwritev:
	case __NR_pwritev2:
		add_write(tgid, regs->rdi, result);
		return true;
	case __NR_dup:
	case __NR_dup2:
	case __NR_dup3:
		key.fd = regs->rdi;
		duplicate_file(&key, result);
		return true;
	case __NR_fcntl:
		key.fd = regs->rdi;
		if (regs->rsi == F_DUPFD || regs->rsi == F_DUPFD_CLOEXEC)
			duplicate_file(&key, result);
		return true;
	case __NR_mmap:
		note_mapped(tgid, regs);
		return true;
	case __NR_sendfile:
		add_write(tgid, regs->rdi, result);
		add_read(tgid, regs->rsi, result);
		return true;
	case __NR_copy_file_range:
		add_read(tgid, regs->rdi, result);
		add_write(tgid, regs->rdx, result);
		return true;
	}
	return false;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(file_call_ended, struct pt_regs *regs, long result)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct opening opening = {.result = result, .directory = AT_FDCWD};
	struct descriptor key = {.tgid = tgid};

	if (switched_off())
		return 0;
	opening.session = session_of(tgid);
	if (!opening.session || bpf_get_current_task_btf()->thread_info.status & TS_COMPAT)
		return 0;
	if (regs->orig_rax == __NR_close)
		udp_closed(tgid, regs->rdi);
	if (result >= 0 && control.stdio)
		stdio_call_ended(regs, tgid, opening.session, result);
	if (!control.files)
		return 0;
	if (result < 0)
		call_failed(regs, opening.session, result);
	switch (regs->orig_rax) {
	case __NR_openat:
		opening.directory = regs->rdi;
		opening.path_at = regs->rsi;
		opening.flags = regs->rdx;
		opened(&opening);
		return 0;
	case __NR_openat2:
		opening.directory = regs->rdi;
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
	if (result >= 0 && used_call_ended(regs, tgid, result))
		return 0;
	change_call_ended(regs, opening.session, result);
	return 0;
}

static long close_if_of(struct bpf_map *map, struct descriptor *key, struct open_file *file,
			__u32 *tgid)
{
	struct descriptor copy = *key;

	if (copy.tgid == *tgid) {
		emit_closed(&copy, file, 0);
		bpf_map_delete_elem(&open_files, &copy);
	}
	return 0;
}

/* The process ends: tell about the files that it leaves open. */
static __always_inline void close_files_of(__u32 tgid)
{
	bpf_for_each_map_elem(&open_files, close_if_of, &tgid, 0);
}
