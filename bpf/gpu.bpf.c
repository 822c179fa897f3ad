/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calls of the CUDA driver and runtime by tracked processes, summed up per process and library.
 *
 * Told about every second while there are calls, and when the process ends. The runtime calls the
 * driver, so the two are told apart: what a program did once shows in both.
 */
#include "gpu.h"
#include "lib/origins.bpf.h"
#include "lib/ring.bpf.h"
#include "lib/sessions.bpf.h"

#define GPU_TELL_NS 1000000000ull

struct gpu_user {
	__u32 tgid;
	__u32 runtime;
};

struct gpu_sums {
	__u64 session;
	__u64 cgroup;
	__u64 launches;
	__u64 copies;
	__u64 copied_bytes;
	__u64 allocations;
	__u64 allocated_bytes;
	__u64 frees;
	__u64 synchronisations;
	__u64 synchronised_ns;
	__u64 told_boot_ns;
	__u64 looked_jiffies;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, struct gpu_user);
	__type(value, struct gpu_sums);
} MAP(gpu_users);

/* Thread and library to when its synchronisation began; those of threads that died are overwritten.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u64);
} MAP(gpu_waiting);

#define TAKE(field) record->field = __sync_lock_test_and_set(&sums->field, 0)

static __noinline int emit_gpu(struct gpu_user *user, struct gpu_sums *sums)
{
	struct gpu_used *record =
		begin_record(CLASS_PROCESS, RECORD_GPU_USED, sizeof(*record), 0, sums->session);

	if (!record)
		return 0;
	record->header.pid = user->tgid;
	TAKE(launches);
	TAKE(copies);
	TAKE(copied_bytes);
	TAKE(allocations);
	TAKE(allocated_bytes);
	TAKE(frees);
	TAKE(synchronisations);
	TAKE(synchronised_ns);
	record->runtime = user->runtime;
	record->reserved = 0;
	submit_record(CLASS_PROCESS, record, 0);
	return 0;
}

/* The sums of the current process, made if there are none. */
static __noinline struct gpu_sums *gpu_sums_of(struct gpu_user *user, __u64 session)
{
	struct gpu_sums *sums = bpf_map_lookup_elem(&gpu_users, user), fresh = {};

	if (sums)
		return sums;
	fresh.session = session;
	fresh.told_boot_ns = bpf_ktime_get_boot_ns();
	fresh.looked_jiffies = bpf_jiffies64();
	bpf_map_update_elem(&gpu_users, user, &fresh, BPF_NOEXIST);
	sums = bpf_map_lookup_elem(&gpu_users, user);
	if (!sums)
		COUNT(CLASS_PROCESS, map_full, 1);
	return sums;
}

static __always_inline void tell_gpu_sometimes(struct gpu_user *user, struct gpu_sums *sums)
{
	__u64 now = bpf_jiffies64(), now_ns;

	if (now - sums->looked_jiffies < LOOK_JIFFIES)
		return;
	sums->looked_jiffies = now;
	now_ns = bpf_ktime_get_boot_ns();
	if (now_ns - sums->told_boot_ns < GPU_TELL_NS)
		return;
	sums->told_boot_ns = now_ns;
	emit_gpu(user, sums);
}

#define ADD(field, amount) __sync_fetch_and_add(&sums->field, (amount))

SEC("uprobe")
int gpu_called(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx), pid_tgid = bpf_get_current_pid_tgid(), now_ns;
	struct gpu_user user = {.tgid = pid_tgid >> 32, .runtime = !!(cookie & GPU_RUNTIME)};
	struct gpu_sums *sums;
	__u64 session;

	if (switched_off())
		return 0;
	session = session_of(user.tgid);
	if (!session)
		return 0;
	sums = gpu_sums_of(&user, session);
	if (!sums)
		return 0;
	switch (cookie & ~GPU_RUNTIME) {
	case GPU_LAUNCH:
		ADD(launches, 1);
		break;
	case GPU_COPY:
		ADD(copies, 1);
		ADD(copied_bytes, PT_REGS_PARM3(ctx));
		break;
	case GPU_ALLOCATE:
		ADD(allocations, 1);
		ADD(allocated_bytes, PT_REGS_PARM2(ctx));
		break;
	case GPU_FREE:
		ADD(frees, 1);
		break;
	case GPU_SYNCHRONISE:
		pid_tgid = pid_tgid << 1 | user.runtime;
		now_ns = bpf_ktime_get_ns();
		bpf_map_update_elem(&gpu_waiting, &pid_tgid, &now_ns, BPF_ANY);
		return 0;
	}
	tell_gpu_sometimes(&user, sums);
	return 0;
}

/* A synchronisation returns. */
SEC("uretprobe")
int gpu_synchronised(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx), pid_tgid = bpf_get_current_pid_tgid();
	struct gpu_user user = {.tgid = pid_tgid >> 32, .runtime = !!(cookie & GPU_RUNTIME)};
	__u64 *began_ns;
	struct gpu_sums *sums;

	if (switched_off())
		return 0;
	pid_tgid = pid_tgid << 1 | user.runtime;
	began_ns = bpf_map_lookup_elem(&gpu_waiting, &pid_tgid);
	if (!began_ns)
		return 0;
	sums = bpf_map_lookup_elem(&gpu_users, &user);
	if (sums) {
		ADD(synchronisations, 1);
		ADD(synchronised_ns, bpf_ktime_get_ns() - *began_ns);
		tell_gpu_sometimes(&user, sums);
	}
	bpf_map_delete_elem(&gpu_waiting, &pid_tgid);
	return 0;
}

static __always_inline void end_gpu_user(__u32 tgid, __u32 runtime)
{
	struct gpu_user user = {.tgid = tgid, .runtime = runtime};
	struct gpu_sums *sums = bpf_map_lookup_elem(&gpu_users, &user);

	if (!sums)
		return;
	emit_gpu(&user, sums);
	bpf_map_delete_elem(&gpu_users, &user);
}
