/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of the TCP connections and UDP flows of tracked processes. */
#pragma once

#include "lib/record.h"

struct net_record {
	struct record_header header;
	/* Socket cookie: the same in both records of a connection. */
	__u64 socket;
	/* connected: since connect(); closed: since it was established. */
	__u64 duration_ns;
	/* Payload bytes, retransmissions not counted; 0 in a connected record. */
	__u64 sent_bytes;
	__u64 received_bytes;
	__u8 peer_address[16];
	__u8 local_address[16];
	__u16 peer_port;
	__u16 local_port;
	/* AF_INET or AF_INET6; UDP: 0 = the peer is not known. */
	__u16 family;
	/* IPPROTO_TCP or IPPROTO_UDP */
	__u16 protocol;
	/* 0 or errno: of connect(), or what ended the connection. */
	__s32 error;
	/* 1 = the peer has connected. */
	__u32 accepted;
	/* The rest is 0 in a connected record. */
	__u64 retransmitted_bytes;
	/* Smoothed, its mean deviation, and the least of the last minutes; 0 = not measured. */
	__u32 round_trip_us;
	__u32 round_trip_deviation_us;
	__u32 least_round_trip_us;
	/* Segments. */
	__u32 congestion_window;
	__u32 sent_segments;
	__u32 retransmitted_segments;
	/* What the kernel took for lost, retransmissions included. */
	__u32 lost_segments;
	/* UDP, of the first datagram, also in a connected record; 0 = no QUIC. */
	__u32 quic_version;
	/* UDP only. */
	__u64 sent_datagrams;
	__u64 received_datagrams;
	__u32 several_peers;
	__u32 reserved;
};
