/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every record of the ring begins with, and what is counted. Shared with the drain.
 */
#pragma once

#include <linux/types.h>

enum record_type {
	RECORD_TLS_READ = 1,
	RECORD_TLS_WRITTEN = 2,
	RECORD_CONNECTION_OPENED = 3,
	RECORD_CONNECTION_CLOSED = 4,
	RECORD_PROCESS_FORKED = 5,
	RECORD_PROCESS_EXECUTED = 6,
	RECORD_PROCESS_EXITED = 7,
	RECORD_FILE_OPENED = 8,
	RECORD_FILE_CLOSED = 9,
	RECORD_NET_CONNECTED = 10,
	RECORD_NET_CLOSED = 11,
	RECORD_FILE_CHANGED = 60,
	RECORD_NET_SAMPLED = 61,
	RECORD_SIGNAL_SENT = 62,
	RECORD_LIMIT_HIT = 63,
	RECORD_OOM_KILLED = 64,
	RECORD_GPU_USED = 65,
	RECORD_DNS_ANSWERED = 66,
	RECORD_UNSEEN_USED = 67,
	RECORD_PROCESS_NETWORKED = 68,
};

struct record_header {
	/*
	 * 0, 1, 2... per CPU, taken also by records that then found no space: a missing number is a
	 * lost record. A program may be preempted between taking a number and taking space, so
	 * numbers of one CPU can be swapped in the ring.
	 */
	__u64 sequence;
	__u64 boot_ns;
	/* 0 = the process is in no session. */
	__u64 session;
	__u64 cgroup;
	__u32 pid;
	__u32 tid;
	__u16 cpu;
	__u16 type;
	__u32 reserved;
};

enum record_class {
	CLASS_TLS,
	CLASS_PROCESS,
	CLASS_FILE,
	CLASS_NET,
	CLASS_STDIO,
	CLASS_COUNT,
};

/* One per CPU and class. Bytes are payload bytes (plaintext, argv, paths). */
struct class_counters {
	__u64 submitted;
	__u64 submitted_bytes;
	/* Records that found the ring full. */
	__u64 ring_full;
	__u64 ring_full_bytes;
	/* Records given up because the process's memory could not be read. */
	__u64 read_faults;
	__u64 read_fault_bytes;
	/* Calls, argument lists or paths of which only the beginning was taken. */
	__u64 truncated;
	__u64 truncated_bytes;
	/* Processes, connections, files or sockets that found their map full. */
	__u64 map_full;
	/* What was seen not to be wanted before it was taken. */
	__u64 filtered;
	__u64 filtered_bytes;
};

/* Written by user space while the programs run. */
struct control_values {
	/* The kill switch: 0 = every program returns at once. */
	__u32 enabled;
	/* 1 = also watch TLS and executions of processes that are in no session. */
	__u32 discover;
	/* Grows whenever `enabled` becomes 1: what happened before was not seen. */
	__u64 generation;
	/* What the program after every system call looks at: files, and standard streams. */
	__u32 files;
	__u32 stdio;
	/* Of what is no JSON-RPC on standard streams so much is taken; 0 = nothing. */
	__u32 output_bytes;
	/* 1 = some class is sampled or limited in its rate. */
	__u32 limited;
	/* enum path_filter */
	__u32 path_filter;
	/* 1 = there are programs of which nothing is recorded. */
	__u32 excludes_programs;
	/* 1 = there are peers with which nothing is recorded. */
	__u32 excludes_peers;
	/* What the programs in socket calls look at: plain HTTP, and datagrams. */
	__u32 plain_sockets;
	__u32 datagrams;
	/* Grows whenever user space has changed which process is in which session. */
	__u32 memberships;
};

/* What is to be recorded of files whose path is below none of the given ones. */
enum path_filter {
	PATHS_ALL,
	PATHS_WANTED,
	PATHS_UNWANTED,
};

/* Fixed before the programs are loaded. */
struct load_settings {
	/* Wake the reader when so much of the ring is filled. */
	__u64 wakeup_bytes;
	/* Per call of SSL_read or SSL_write. */
	__u64 max_payload_bytes;
	__u32 max_argv_bytes;
	__u32 max_discovered_argv_bytes;
	/* Limits that leave nothing out for so long have ended. */
	__u64 quiet_ns;
};
