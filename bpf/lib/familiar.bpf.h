/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs that user space has looked at and knows to be of no interest. Their starts outside of
 * sessions are not told, as nobody would do anything with them; when one of their processes begins
 * to use the network, that is.
 */
#pragma once

#include "../process.h"
#include "exclusions.bpf.h"
#include "ring.bpf.h"

/* A program file in one life of its content, under one of its names. */
struct program_file {
	__u64 inode;
	__u64 bytes;
	__u32 device;
	__u32 generation;
	char name[PROGRAM_NAME_BYTES];
};

enum familiarity {
	/* Nobody wants to know when it starts. */
	FAMILIAR = 1,
	/* A process of it was seen to use TLS: told again, for good. */
	FAMILIAR_NO_MORE = 2,
};

/* LRU: who is forgotten is told again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct program_file);
	__type(value, __u8);
} MAP(familiar_programs);

/* Process to its program, for those of which user space is told. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct program_file);
} MAP(started_programs);

/* Processes that have used the network since they began their program. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u8);
} MAP(networkers);

/*
 * Texts one of which is in the arguments of every process that a rule for sessions can match, by
 * their first bytes. Written by user space.
 */
#define MAX_MARKS      8
#define SEARCHED_BYTES 1024

struct mark {
	__u64 text;
	/* Which bits of the text count: less than 8 bytes may be given. */
	__u64 mask;
};

struct mark_list {
	__u64 count;
	struct mark listed[MAX_MARKS];
};

volatile struct mark_list MAP_VALUE(marks, ".bss.marks");

struct argument_search {
	/* Behind the arguments is anything: at worst a start is told that need not be. */
	char *text;
	bool found;
};

static __always_inline void program_of(struct task_struct *task, struct program_file *program)
{
	struct file *file = BPF_CORE_READ(task, mm, exe_file);
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	__builtin_memset(program, 0, sizeof(*program));
	program->inode = BPF_CORE_READ(inode, i_ino);
	program->bytes = BPF_CORE_READ(inode, i_size);
	program->device = BPF_CORE_READ(inode, i_sb, s_dev);
	program->generation = BPF_CORE_READ(inode, i_generation);
	bpf_probe_read_kernel_str(program->name, sizeof(program->name),
				  BPF_CORE_READ(file, f_path.dentry, d_name.name));
}

/* The current process has begun a program: is it familiar? */
static __noinline bool begins_familiar(__u32 tgid)
{
	struct program_file program;
	__u8 *familiarity;

	bpf_map_delete_elem(&networkers, &tgid);
	program_of(bpf_get_current_task_btf(), &program);
	familiarity = bpf_map_lookup_elem(&familiar_programs, &program);
	if (familiarity && *familiarity == FAMILIAR)
		return true;
	bpf_map_update_elem(&started_programs, &tgid, &program, BPF_ANY);
	return false;
}

/* A process in no session has begun a TLS connection: its program is not to be left out. */
static __noinline int doubt_program(void)
{
	__u8 *familiarity, no_more = FAMILIAR_NO_MORE;
	struct program_file program;

	program_of(bpf_get_current_task_btf(), &program);
	familiarity = bpf_map_lookup_elem(&familiar_programs, &program);
	if (!familiarity || *familiarity != FAMILIAR_NO_MORE)
		bpf_map_update_elem(&familiar_programs, &program, &no_more, BPF_ANY);
	return 0;
}

/* Returns 1 to end the search. */
static long search_at(__u32 position, struct argument_search *search)
{
	__u64 at = position, text;

	CLAMP(at, SEARCHED_BYTES);
	__builtin_memcpy(&text, search->text + at, sizeof(text));
	for (__u32 i = 0; i < MAX_MARKS && i < marks.count; i++) {
		if ((text & marks.listed[i].mask) == marks.listed[i].text) {
			search->found = true;
			return 1;
		}
	}
	return 0;
}

/* May a rule match a process with these arguments? */
static __always_inline bool may_be_wanted(__u64 start, __u32 bytes)
{
	struct argument_search search = {};
	__u64 searched = bytes;

	if (!marks.count)
		return false;
	if (!CAN_SEARCH || bytes > SEARCHED_BYTES)
		return true;
	/* Too much for the stack. */
	search.text = bpf_ringbuf_reserve(&events, SEARCHED_BYTES + sizeof(__u64), 0);
	if (!search.text)
		return true;
	CLAMP(searched, SEARCHED_BYTES);
	if (bpf_probe_read_user(search.text, searched, (void *)start))
		search.found = true;
	else
		bpf_loop(searched, search_at, &search, 0);
	bpf_ringbuf_discard(search.text, BPF_RB_NO_WAKEUP);
	return search.found;
}

/*
 * The current process opens a connection, or a port: if its start was left out, or its program
 * passes for one without TLS, user space has to look at it now.
 */
static __noinline int note_networker(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct program_file program;
	struct process_networked *record;
	__u8 one = 1;

	if ((!control.discover && !tree_of(tgid)) || bpf_map_lookup_elem(&networkers, &tgid))
		return 0;
	bpf_map_update_elem(&networkers, &tgid, &one, BPF_ANY);
	program_of(bpf_get_current_task_btf(), &program);
	if (!bpf_map_lookup_elem(&familiar_programs, &program))
		return 0;
	bpf_map_update_elem(&started_programs, &tgid, &program, BPF_ANY);
	record = begin_record(CLASS_PROCESS, RECORD_PROCESS_NETWORKED, sizeof(*record), 0,
			      tree_of(tgid));
	if (record)
		submit_record_as(CLASS_PROCESS, record, 0, true);
	return 0;
}
