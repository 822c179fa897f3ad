/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calls of Go's crypto/tls that have begun, by goroutine: it may change threads between entry and
 * end. Its address is in r14, in Go code and in the system calls that it makes.
 * Source: Go's ABIInternal specification, "amd64 architecture".
 */
#pragma once

#include "connections.bpf.h"

struct go_call_key {
	__u32 tgid;
	__u32 reserved;
	__u64 goroutine;
};

struct go_call {
	__u64 connection;
	__u64 buffer;
	__u64 writing;
};

/* LRU: a goroutine that ends in a panic, or with its process, leaves its call behind. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct go_call_key);
	__type(value, struct go_call);
} MAP(go_calls);

/* In a system call: bind the connection whose call the goroutine is in; false if it is in none. */
static __noinline bool bind_goroutine(struct peer *peer)
{
	CALL_REGISTERS(registers);
	struct go_call_key key = {
		.tgid = bpf_get_current_pid_tgid() >> 32,
		.goroutine = GO_GOROUTINE(registers),
	};
	struct go_call *call = bpf_map_lookup_elem(&go_calls, &key);

	if (call)
		bind_peer(call->connection, peer);
	return call;
}
