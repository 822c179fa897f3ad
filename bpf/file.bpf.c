/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Files that tracked processes open, and what they read and wrote through each of them.
 *
 * One program after every system call of the machine, so user space attaches it only while there is
 * a tracked process. Sums are kept per file descriptor and told at close, and every TELL_NS while
 * something happens. A duplicate of a descriptor has sums of its own. A file that the process has
 * not opened while it was tracked (inherited, received, opened before) is told when it is first
 * used. Not seen: how much went through a memory mapping, or through io_uring, whose use is told.
 */

#include "file.h"
#include "change.bpf.c"
#include "limit.bpf.c"
#include "lib/holders.bpf.h"
#include "lib/ring.bpf.h"
#include "lib/origins.bpf.h"
#include "lib/sessions.bpf.h"
#include "stdio.bpf.c"
#include "udp.bpf.c"

/* A file that stays open is told this often, if something goes through it. */
#define TELL_NS 10000000000ull
/* Most paths are no longer; what is copied for nothing costs the watched process. */
#define SHORT_PATH_BYTES 64
/* Room that the empty path of a found file takes. */
#define FOUND_PATH_BYTES 8

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
	__u64 reads;
	__u64 writes;
	/* 0 = nobody here has seen it being opened. */
	__u32 path_bytes;
	__u8 mapped_for_writing;
	/* Nothing is told of it: it is a pipe, a socket, a device, or left out. */
	__u8 is_untold;
	/* It is known to be none of the standard streams and no duplicate of one. */
	__u8 is_diverted;
	__u8 reserved;
	char path[KEPT_PATH_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, struct descriptor);
	__type(value, struct open_file);
} MAP(open_files);

/* Initial value of an entry. */
ZEROED(struct open_file, no_file);

/*
 * The entry that is being made of a file that is being opened. One for each CPU will do: only the
 * program at the end of system calls uses it, and no program runs twice at once on a CPU.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct open_file);
} MAP(opened_files);

static __always_inline void put_closed(struct descriptor *key, struct open_file *file,
				       __u32 still_open, const __u32 room)
{
	struct file_closed *record =
		begin_record(CLASS_FILE, RECORD_FILE_CLOSED, sizeof(*record) + room,
			     file->path_bytes, file->session);

	if (!record)
		return;
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
	__builtin_memcpy(record->path, file->path, room);
	submit_record(CLASS_FILE, record, file->path_bytes);
}

/* Tell the sums, which begin anew. */
static __noinline int emit_closed(struct descriptor *key, struct open_file *file, __u32 still_open)
{
	if (file->is_untold)
		return 0;
	if (file->path_bytes <= SHORT_PATH_BYTES)
		put_closed(key, file, still_open, SHORT_PATH_BYTES);
	else
		put_closed(key, file, still_open, KEPT_PATH_BYTES);
	return 0;
}

/* Returns whether it was a file of which something was told. */
static __always_inline bool close_file(struct descriptor *key)
{
	struct open_file *file = bpf_map_lookup_elem(&open_files, key);
	bool told;

	if (!file)
		return false;
	told = !file->is_untold;
	emit_closed(key, file, 0);
	if (!bpf_map_delete_elem(&open_files, key))
		let_go_descriptor(key->tgid);
	return told;
}

/*
 * Make an entry; `flags` as of bpf_map_update_elem. NULL if there is one already, or, counted, no
 * room for it.
 */
static __always_inline struct open_file *hold_file(struct descriptor *key,
						   const struct open_file *file, __u64 flags)
{
	if (!hold_descriptor(CLASS_FILE, key->tgid, key->fd))
		return NULL;
	if (bpf_map_update_elem(&open_files, key, file, flags)) {
		let_go_descriptor(key->tgid);
		if (!bpf_map_lookup_elem(&open_files, key))
			COUNT(CLASS_FILE, map_full, 1);
		return NULL;
	}
	return bpf_map_lookup_elem(&open_files, key);
}

/* Nothing is to be told of what happens on a new descriptor. */
static __always_inline void leave_out_file(struct descriptor *key)
{
	struct open_file *file;

	close_file(key);
	file = hold_file(key, &no_file, BPF_ANY);
	if (file)
		file->is_untold = 1;
}

static __always_inline void hold_opened(struct descriptor *key, const struct open_file *file)
{
	if (!hold_descriptor(CLASS_FILE, key->tgid, key->fd) ||
	    !bpf_map_update_elem(&open_files, key, file, BPF_NOEXIST))
		return;
	let_go_descriptor(key->tgid);
	/* The old file was closed unseen: by exec, close_range or dup2. */
	close_file(key);
	hold_file(key, file, BPF_ANY);
}

struct opening {
	__u64 boot_ns;
	__u64 path_at;
	__u64 session;
	__u32 flags;
	__s32 result;
	__s32 directory;
	__u32 reserved;
};

/* The entry for what is being opened, with its path and nothing else. */
static __always_inline struct open_file *opened_file(struct opening *opening)
{
	__u32 zero = 0;
	struct open_file *file = bpf_map_lookup_elem(&opened_files, &zero);
	long bytes;

	if (!file)
		return NULL;
	bytes = bpf_probe_read_user_str(file->path, sizeof(file->path), (void *)opening->path_at);
	file->path_bytes = bytes > 0 ? bytes : 0;
	return file;
}

/* Begin to sum up what happens on a new descriptor. */
static __noinline int note_open(struct descriptor *key, struct opening *opening,
				struct open_file *file)
{
	if (file->path_bytes == KEPT_PATH_BYTES)
		COUNT(CLASS_FILE, truncated, 1);
	file->session = opening->session;
	file->opened_boot_ns = opening->boot_ns;
	file->told_boot_ns = opening->boot_ns;
	file->looked_jiffies = bpf_jiffies64();
	file->is_diverted = key->fd > 2;
	hold_opened(key, file);
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
	/* One without a path is told anew, with it, when it is used. */
	if (!original || !original->path_bytes)
		return 0;
	/* The map takes a copy: the value of another entry may be given as it is. */
	file = hold_file(&copy, original, BPF_ANY);
	if (!file)
		return 0;
	file->read_bytes = 0;
	file->written_bytes = 0;
	file->reads = 0;
	file->writes = 0;
	file->mapped_for_writing = 0;
	file->is_diverted = 0;
	file->opened_boot_ns = bpf_ktime_get_boot_ns();
	return 0;
}

/* `file` has the path; NULL: it is read anew. */
static __always_inline void put_opened(struct opening *opening, struct open_file *file, __u64 bytes,
				       const __u32 room, const bool relative)
{
	const __u32 area = relative ? sizeof(struct path_area) : 0;
	struct file_opened *record =
		begin_record_at(opening->boot_ns, CLASS_FILE, RECORD_FILE_OPENED,
				sizeof(*record) + room + area, bytes, opening->session);

	if (!record)
		return;
	record->flags = opening->flags;
	record->result = opening->result;
	record->path_bytes = bytes;
	if (file)
		__builtin_memcpy(record->data, file->path, room);
	else
		record->path_bytes = room ? read_path(record->data, room, opening->path_at) : 0;
	record->directory_at = relative ? room : 0;
	if (relative)
		collect_descriptor_path((void *)record->data + room, opening->directory);
	submit_record(CLASS_FILE, record, bytes);
}

/* Tell an opening; its path is in `file`, as much of it as is kept there. */
static __noinline int emit_opened(struct opening *opening, struct open_file *file)
{
	const bool relative = file->path[0] != '/';
	__u64 bytes = file->path_bytes;

	if (!bytes) {
		/* open() failed with EFAULT, or the page is gone */
		put_opened(opening, NULL, 0, 0, false);
		COUNT(CLASS_FILE, truncated, 1);
	} else if (bytes == KEPT_PATH_BYTES && relative) {
		put_opened(opening, NULL, bytes, MAX_PATH, true);
	} else if (bytes == KEPT_PATH_BYTES) {
		put_opened(opening, NULL, bytes, MAX_PATH, false);
	} else if (relative) {
		put_opened(opening, file, bytes, KEPT_PATH_BYTES, true);
	} else if (bytes <= SHORT_PATH_BYTES) {
		put_opened(opening, file, bytes, SHORT_PATH_BYTES, false);
	} else {
		put_opened(opening, file, bytes, KEPT_PATH_BYTES, false);
	}
	return 0;
}

/*
 * The entry of a descriptor that is used for the first time and was not seen being opened; NULL if
 * there is no room. A file is told like an opening that has no path but that of the descriptor.
 */
static __noinline struct open_file *note_found(struct descriptor *key)
{
	struct opening opening = {
		.boot_ns = bpf_ktime_get_boot_ns(),
		.result = key->fd,
		.directory = key->fd,
	};
	struct open_file *entry;
	struct file *file = file_of_descriptor(key->fd);

	/* Another thread may do the same now. */
	entry = file ? hold_file(key, &no_file, BPF_NOEXIST) : NULL;
	if (!entry)
		return bpf_map_lookup_elem(&open_files, key);
	/* One of the first three is a standard stream again after an exec. */
	entry->is_diverted =
		CALLS_IN_ONE_PROGRAM && key->fd > 2 && standard_of(key->tgid, key->fd) == DIVERTED;
	opening.session = session_of(key->tgid);
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFREG ||
	    !is_wanted_path(0, key->fd) || !admits(opening.session, CLASS_FILE)) {
		entry->is_untold = 1;
		return entry;
	}
	opening.flags = BPF_CORE_READ(file, f_flags);
	entry->session = opening.session;
	entry->opened_boot_ns = opening.boot_ns;
	entry->told_boot_ns = opening.boot_ns;
	entry->looked_jiffies = bpf_jiffies64();
	put_opened(&opening, NULL, 0, FOUND_PATH_BYTES, true);
	return entry;
}

static __always_inline struct open_file *file_used(struct descriptor *key)
{
	struct open_file *file = bpf_map_lookup_elem(&open_files, key);

	return file ? file : note_found(key);
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

/* Returns whether the descriptor may be a standard stream, and not a file alone. */
static __always_inline bool add_moved(__u32 tgid, __s32 fd, long bytes, const bool written)
{
	struct descriptor key = {.tgid = tgid, .fd = fd};
	struct open_file *file = file_used(&key);

	if (!file)
		return true;
	if (!file->is_untold) {
		__sync_fetch_and_add(written ? &file->written_bytes : &file->read_bytes, bytes);
		__sync_fetch_and_add(written ? &file->writes : &file->reads, 1);
		tell_sometimes(&key, file);
	}
	return !file->is_diverted;
}

/* mmap(2): writing to memory will change the file. */
static __always_inline void note_mapped(__u32 tgid, struct pt_regs *regs)
{
	struct descriptor key = {.tgid = tgid, .fd = SYSCALL_ARG5(regs)};
	struct open_file *file;

	if (!(SYSCALL_ARG3(regs) & PROT_WRITE) || !(SYSCALL_ARG4(regs) & MAP_SHARED) ||
	    (SYSCALL_ARG4(regs) & MAP_TYPE) == 2)
		return;
	file = file_used(&key);
	if (file)
		file->mapped_for_writing = 1;
}

static __always_inline void opened(struct opening *opening)
{
	struct descriptor key = {.tgid = bpf_get_current_pid_tgid() >> 32, .fd = opening->result};
	struct open_file *file;

	opening->boot_ns = bpf_ktime_get_boot_ns();
	if (!is_wanted_path(opening->path_at, opening->directory) ||
	    !admits(opening->session, CLASS_FILE)) {
		if (opening->result >= 0)
			leave_out_file(&key);
		return;
	}
	file = opened_file(opening);
	if (!file)
		return;
	if (opening->result >= 0)
		note_open(&key, opening, file);
	emit_opened(opening, file);
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

static __noinline int tell_unseen(__u32 what)
{
	struct unseen_used *record;

	record = begin_record(CLASS_FILE, RECORD_UNSEEN_USED, sizeof(*record), 0,
			      session_of(bpf_get_current_pid_tgid() >> 32));
	if (!record)
		return 0;
	record->what = what;
	record->reserved = 0;
	submit_record(CLASS_FILE, record, 0);
	return 0;
}

/* A call that opens a file, and what it asked for; false if it is none of these. */
static __always_inline bool is_opening(struct opening *opening, struct pt_regs *regs)
{
	switch (SYSCALL_NUMBER(regs)) {
	case __NR_openat:
		opening->directory = SYSCALL_ARG1(regs);
		opening->path_at = SYSCALL_ARG2(regs);
		opening->flags = SYSCALL_ARG3(regs);
		return true;
	case __NR_openat2:
		opening->directory = SYSCALL_ARG1(regs);
		opening->path_at = SYSCALL_ARG2(regs);
		opening->flags = openat2_flags(SYSCALL_ARG3(regs));
		return true;
	case __NR_open:
		opening->path_at = SYSCALL_ARG1(regs);
		opening->flags = SYSCALL_ARG2(regs);
		return true;
	case __NR_creat:
		opening->path_at = SYSCALL_ARG1(regs);
		opening->flags = CREAT_FLAGS;
		return true;
	}
	return false;
}

/*
 * A successful call that uses a descriptor; false if it is none of these. `standard` becomes false
 * if it is known that the descriptor is no standard stream.
 */
static __always_inline bool used_call_ended(struct pt_regs *regs, __u32 tgid, long result,
					    bool *standard)
{
	struct descriptor key = {.tgid = tgid};

	switch (SYSCALL_NUMBER(regs)) {
	case __NR_read:
	case __NR_pread64:
	case __NR_readv:
	case __NR_preadv:
	case __NR_preadv2:
		*standard = add_moved(tgid, SYSCALL_ARG1(regs), result, false);
		return true;
	case __NR_write:
	case __NR_pwrite64:
	case __NR_writev:
	case __NR_pwritev:
	case __NR_pwritev2:
		*standard = add_moved(tgid, SYSCALL_ARG1(regs), result, true);
		return true;
	case __NR_dup:
	case __NR_dup2:
	case __NR_dup3:
		key.fd = SYSCALL_ARG1(regs);
		duplicate_file(&key, result);
		return true;
	case __NR_fcntl:
		key.fd = SYSCALL_ARG1(regs);
		if (SYSCALL_ARG2(regs) == F_DUPFD || SYSCALL_ARG2(regs) == F_DUPFD_CLOEXEC)
			duplicate_file(&key, result);
		return true;
	case __NR_io_uring_setup:
		tell_unseen(UNSEEN_IO_URING);
		return true;
	case __NR_mmap:
		note_mapped(tgid, regs);
		return true;
	case __NR_sendfile:
		add_moved(tgid, SYSCALL_ARG1(regs), result, true);
		add_moved(tgid, SYSCALL_ARG2(regs), result, false);
		return true;
	case __NR_splice:
	case __NR_copy_file_range:
		add_moved(tgid, SYSCALL_ARG1(regs), result, false);
		add_moved(tgid, SYSCALL_ARG3(regs), result, true);
		return true;
	}
	return false;
}

/* Is something done about the end of this system call? No look-up is due to the others. */
static __always_inline bool is_of_interest(__u64 number)
{
	switch (number) {
	case __NR_close:
	case __NR_dup:
	case __NR_dup2:
	case __NR_dup3:
	case __NR_fcntl:
	case __NR_open:
	case __NR_openat:
	case __NR_openat2:
	case __NR_creat:
	case __NR_read:
	case __NR_pread64:
	case __NR_readv:
	case __NR_preadv:
	case __NR_preadv2:
	case __NR_write:
	case __NR_pwrite64:
	case __NR_writev:
	case __NR_pwritev:
	case __NR_pwritev2:
	case __NR_sendto:
	case __NR_recvfrom:
	case __NR_sendmsg:
	case __NR_recvmsg:
	case __NR_sendfile:
	case __NR_splice:
	case __NR_copy_file_range:
	case __NR_mmap:
	case __NR_io_uring_setup:
	case __NR_rename:
	case __NR_renameat:
	case __NR_renameat2:
	case __NR_link:
	case __NR_linkat:
	case __NR_symlink:
	case __NR_symlinkat:
	case __NR_unlink:
	case __NR_unlinkat:
	case __NR_rmdir:
	case __NR_chdir:
	case __NR_fchdir:
	case __NR_mkdir:
	case __NR_mkdirat:
	case __NR_chmod:
	case __NR_fchmod:
	case __NR_fchmodat:
	case __NR_chown:
	case __NR_lchown:
	case __NR_fchown:
	case __NR_fchownat:
	case __NR_truncate:
	case __NR_ftruncate:
	case FCHMODAT2:
		return true;
	}
	return false;
}

/* The session that a system call of the current thread is looked at for; 0 = it is not. */
static __always_inline __u64 session_of_call(__u32 tgid)
{
	__u64 session = session_of(tgid);

	if (!session || IN_COMPAT_SYSCALL(bpf_get_current_task_btf()))
		return 0;
	return session;
}

/* All calls that have not opened or closed a file. */
static __always_inline void other_call_ended(struct pt_regs *regs, __u32 tgid, __u64 session,
					     long result)
{
	bool told = false, standard = true;

	if (control.files && result >= 0)
		told = used_call_ended(regs, tgid, result, &standard);
	if (control.stdio && result >= 0 && standard)
		stdio_call_ended(regs, tgid, session, result);
	if (control.files && !told)
		change_call_ended(regs, session, result);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(file_call_ended, struct pt_regs *regs, long result)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct opening opening = {.result = result, .directory = AT_FDCWD};
	struct descriptor key = {.tgid = tgid};

	if (switched_off() || (CALLS_IN_ONE_PROGRAM && !is_of_interest(SYSCALL_NUMBER(regs)) &&
			       !is_limit(SYSCALL_NUMBER(regs), -result)))
		return 0;
	opening.session = session_of_call(tgid);
	if (!opening.session)
		return 0;
	USE_REGISTERS(regs);
	if (SYSCALL_NUMBER(regs) == __NR_close) {
		key.fd = SYSCALL_ARG1(regs);
		/* What was a file was nothing else. */
		if (control.files && close_file(&key))
			return 0;
		udp_closed(tgid, key.fd);
	}
	if (CALLS_IN_ONE_PROGRAM && control.files && result < 0)
		call_failed(regs, opening.session, result);
	if (control.files && is_opening(&opening, regs)) {
		FORGET_BOUNDS(opening.directory, opening.session);
		opened(&opening);
		return 0;
	}
	if (CALLS_IN_ONE_PROGRAM)
		other_call_ended(regs, tgid, opening.session, result);
	return 0;
}

#if !CALLS_IN_ONE_PROGRAM
SEC("tp_btf/sys_exit")
int BPF_PROG(stdio_call_companion, struct pt_regs *regs, long result)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u64 session = session_of_call(tgid);

	if (switched_off() || !session || result < 0 || !control.stdio)
		return 0;
	USE_REGISTERS(regs);
	stdio_call_ended(regs, tgid, session, result);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(use_call_companion, struct pt_regs *regs, long result)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	bool standard;

	if (switched_off() || result < 0 || !session_of_call(tgid) || !control.files)
		return 0;
	USE_REGISTERS(regs);
	used_call_ended(regs, tgid, result, &standard);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(change_call_companion, struct pt_regs *regs, long result)
{
	__u64 session = session_of_call(bpf_get_current_pid_tgid() >> 32);

	if (switched_off() || !session || !control.files)
		return 0;
	USE_REGISTERS(regs);
	if (result < 0)
		call_failed(regs, session, result);
	change_call_ended(regs, session, result);
	return 0;
}
#endif

static __always_inline void end_descriptor(__u32 tgid, __s32 fd)
{
	struct descriptor key = {.tgid = tgid, .fd = fd};

	close_file(&key);
	udp_closed(tgid, fd);
}

#ifdef AGENTSIGHT_BCC
static __always_inline void end_descriptors(struct holder *holder, __u32 tgid)
{
	for (__s32 fd = 0; fd < MAX_DESCRIPTORS; fd++)
		end_descriptor(tgid, fd);
}
#else
static long end_next(__u32 fd, __u32 *tgid)
{
	struct holder *holder = bpf_map_lookup_elem(&holders, tgid);

	end_descriptor(*tgid, fd);
	return !holder || !holder->count;
}

struct bpf_map;

static long close_if_of(struct bpf_map *map, struct descriptor *key, struct open_file *file,
			__u32 *tgid)
{
	struct descriptor copy = *key;

	if (copy.tgid == *tgid)
		close_file(&copy);
	return 0;
}

static long end_flow_if_of(struct bpf_map *map, struct udp_key *key, struct udp_flow *flow,
			   __u32 *tgid)
{
	if (key->tgid == *tgid)
		end_flow(key, flow);
	return 0;
}

static __always_inline void end_descriptors(struct holder *holder, __u32 tgid)
{
	bpf_loop(holder->highest_fd + 1, end_next, &tgid, 0);
	if (!holder->count)
		return;
	/* Two threads have written `highest_fd` at once. */
	bpf_for_each_map_elem(&open_files, close_if_of, &tgid, 0);
	bpf_for_each_map_elem(&udp_flows, end_flow_if_of, &tgid, 0);
}
#endif

/* The process ends: tell about the files and flows that it leaves open. */
static __always_inline void end_descriptors_of(__u32 tgid)
{
	struct holder *holder = bpf_map_lookup_elem(&holders, &tgid);

	if (!holder)
		return;
	if (holder->count)
		end_descriptors(holder, tgid);
	bpf_map_delete_elem(&holders, &tgid);
}
