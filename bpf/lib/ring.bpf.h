/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ring buffer that all programs share, what is counted about it, and the kill switch.
 *
 * Programs may be preempted by others on the same CPU, so that per-CPU scratch memory is not safe:
 * records are built in the ring itself.
 */
#pragma once

#include "record.h"

const volatile struct load_settings MAP_VALUE(settings, ".rodata.settings") = {
	.wakeup_bytes = 1 << 20,
	.max_payload_bytes = 16 << 20,
	.max_argv_bytes = 64 << 10,
	.max_discovered_argv_bytes = 1 << 10,
	.quiet_ns = 10000000000ull,
};

volatile struct control_values MAP_VALUE(control, ".bss.control");

/* When the reader was last woken, so that it is not woken again before it can have come. */
struct wake_state {
	__u64 position;
	__u64 hurried_boot_ns;
};

struct wake_state MAP_VALUE(wakes, ".bss.wakes");

/* 1 = the reader does not poll, but waits for the next record. Written by user space. */
volatile __u32 MAP_VALUE(asleep, ".bss.asleep");

/* The reader is woken for what it has to answer soon, but not more often than this. */
#define HURRY_NS 20000000ull

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20); /* user space may set another size */
} MAP(events);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} MAP(sequences);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CLASS_COUNT);
	__type(key, __u32);
	__type(value, struct class_counters);
} MAP(counters);

/* Tells the verifier what other code has made sure; opaque to the compiler, which would drop it. */
#define CLAMP(value, most) asm volatile("if %0 <= %1 goto +1\n\t%0 = %1" : "+r"(value) : "r"(most))

/*
 * Lets the verifier forget what it knows of a number, which makes each turn of a loop, and each
 * way to a place, a case of its own. `unknown` is any number that it does not know.
 */
#define FORGET_BOUNDS(number, unknown)                                                        \
	do {                                                                                  \
		__u64 number_ = (number);                                                     \
		asm volatile("%0 ^= %1\n\t%0 ^= %1" : "+r"(number_) : "r"((__u64)(unknown))); \
		(number) = number_;                                                           \
	} while (0)

/* Atomic, although per CPU: a soft interrupt may count between load and store. */
#define COUNT(class, field, amount)                                                       \
	do {                                                                              \
		__u32 key_ = (class);                                                     \
		struct class_counters *counters_ = bpf_map_lookup_elem(&counters, &key_); \
		if (counters_)                                                            \
			__sync_fetch_and_add(&counters_->field, (amount));                \
	} while (0)

/* As COUNT, of the two that are always counted together. */
static __always_inline void count_submitted(__u32 class, __u64 payload)
{
	struct class_counters *totals = bpf_map_lookup_elem(&counters, &class);

	if (!totals)
		return;
	__sync_fetch_and_add(&totals->submitted, 1);
	__sync_fetch_and_add(&totals->submitted_bytes, payload);
}

static __always_inline bool switched_off(void)
{
	return !control.enabled;
}

static __always_inline __u64 next_sequence(void)
{
	__u32 zero = 0;
	__u64 *sequence = bpf_map_lookup_elem(&sequences, &zero);

	return sequence ? __sync_fetch_and_add(sequence, 1) : 0;
}

/*
 * Take `size` bytes (a constant) of the ring and fill the header in; NULL and counted if it is
 * full. `payload` is what of it the ledger counts.
 */
static __always_inline void *begin_record_at(__u64 boot_ns, __u32 class, __u16 type,
					     const __u64 size, __u64 payload, __u64 session)
{
	__u64 sequence = next_sequence(), pid_tgid = bpf_get_current_pid_tgid();
	struct record_header *header = bpf_ringbuf_reserve(&events, size, 0);

	if (!header) {
		COUNT(class, ring_full, 1);
		COUNT(class, ring_full_bytes, payload);
		return NULL;
	}
	header->sequence = sequence;
	header->boot_ns = boot_ns;
	header->session = session;
	header->cgroup = bpf_get_current_cgroup_id();
	header->pid = pid_tgid >> 32;
	header->tid = pid_tgid;
	header->cpu = bpf_get_smp_processor_id();
	header->type = type;
	header->reserved = 0;
	return header;
}

/* As begin_record_at, of what happens now. */
static __always_inline void *begin_record(__u32 class, __u16 type, const __u64 size, __u64 payload,
					  __u64 session)
{
	return begin_record_at(bpf_ktime_get_boot_ns(), class, type, size, payload, session);
}

/* Is so much waiting that the reader must not wait for its time, and has it not been told? */
static __always_inline bool is_filling(void)
{
	__u64 produced;

	if (bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) < settings.wakeup_bytes)
		return false;
	produced = bpf_ringbuf_query(&events, BPF_RB_PROD_POS);
	if (produced - wakes.position < settings.wakeup_bytes)
		return false;
	wakes.position = produced;
	return true;
}

static __always_inline bool may_hurry(__u64 now_ns)
{
	if (now_ns - wakes.hurried_boot_ns < HURRY_NS)
		return false;
	wakes.hurried_boot_ns = now_ns;
	return true;
}

/* The next urgent record wakes the reader, however short ago it was woken. */
static __always_inline void hurry_at_once(void)
{
	wakes.hurried_boot_ns = 0;
}

static __always_inline bool ends_sleep(void)
{
	if (!asleep)
		return false;
	asleep = 0;
	return true;
}

/*
 * Give a record to the reader. A wake-up costs the watched process microseconds: the reader polls,
 * except when the ring fills, when it has to answer `urgent`ly, or when it sleeps.
 */
static __always_inline void submit_record_as(__u32 class, void *record, __u64 payload, bool urgent)
{
	__u64 now_ns = ((struct record_header *)record)->boot_ns, flags = BPF_RB_NO_WAKEUP;

	if (is_filling() || ends_sleep() || (urgent && may_hurry(now_ns)))
		flags = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(record, flags);
	count_submitted(class, payload);
}

static __always_inline void submit_record(__u32 class, void *record, __u64 payload)
{
	submit_record_as(class, record, payload, false);
}

static __always_inline void discard_unreadable(__u32 class, void *record, __u64 payload)
{
	bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
	COUNT(class, read_faults, 1);
	COUNT(class, read_fault_bytes, payload);
}
