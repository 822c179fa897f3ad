/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Peers with which nothing is to be recorded, by address. */
#pragma once

#include "ring.bpf.h"

#define ADDRESS_BYTES 16

struct peer_network {
	/* How many bits of the address count. */
	__u32 bits;
	/* IPv4 as in IPv6 (RFC 4291, 2.5.5.2). */
	__u8 address[ADDRESS_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct peer_network);
	__type(value, __u8);
} MAP(excluded_peers);

/* `address` has 16 bytes, of which an address of IPv4 uses the first four. */
static __noinline bool is_excluded_address(__u32 family, __u8 *address)
{
	struct peer_network key = {.bits = ADDRESS_BYTES * 8};

	if (!address)
		return false;
	if (family == AF_INET) {
		key.address[10] = key.address[11] = 0xff;
		__builtin_memcpy(key.address + 12, address, 4);
	} else {
		__builtin_memcpy(key.address, address, ADDRESS_BYTES);
	}
	return bpf_map_lookup_elem(&excluded_peers, &key) != NULL;
}

static __always_inline bool is_excluded_peer(__u32 family, __u8 *address)
{
	return control.excludes_peers && is_excluded_address(family, address);
}
