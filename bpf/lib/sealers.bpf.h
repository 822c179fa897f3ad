/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Processes whose TLS records are taken where they are sealed and opened. */
#pragma once

#include "ring.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u8);
} MAP(sealers);

static __always_inline void mark_sealer(__u32 tgid)
{
	__u8 one = 1;

	if (!bpf_map_lookup_elem(&sealers, &tgid))
		bpf_map_update_elem(&sealers, &tgid, &one, BPF_ANY);
}

/* What any of its threads receives is to be remembered: it may open a record then. */
static __always_inline bool is_sealer(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return bpf_map_lookup_elem(&sealers, &tgid) != NULL;
}
