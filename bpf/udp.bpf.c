/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * UDP sockets of tracked processes: with whom, how much, whether it is QUIC; and what name servers
 * answer.
 *
 * A flow is a descriptor and the socket behind it, from its first datagram until it is closed or
 * another socket takes its number. Its peer is the connected one or the first one sent to. Not
 * seen: io_uring, answers of name servers by TCP, TLS or recvmmsg.
 */
#pragma once

#include "net.h"
#include "udp.h"
#include "lib/connections.bpf.h"
#include "lib/holders.bpf.h"
#include "lib/origins.bpf.h"
#include "lib/vectors.bpf.h"

#define DNS_PORT 53
/* A datagram that begins a connection is no shorter (RFC 9000, 14.1). */
#define MIN_QUIC_BYTES 1200
#define QUIC_LONG      0xc0
#define QUIC_2	       0x6b3343cf

struct udp_key {
	__u32 tgid;
	__s32 fd;
};

struct udp_flow {
	__u64 socket;
	__u64 session;
	__u64 cgroup;
	__u64 since_boot_ns;
	__u64 told_boot_ns;
	__u64 looked_jiffies;
	__u64 sent_bytes;
	__u64 received_bytes;
	__u64 sent_datagrams;
	__u64 received_datagrams;
	__u8 peer_address[16];
	__u16 peer_port;
	__u16 local_port;
	/* Of the peer; 0 = not known. */
	__u16 family;
	/* A limit or a filter: nothing is told of it. */
	__u16 left_out;
	__u32 tid;
	__u32 quic_version;
	__u8 received_first;
	__u8 several_peers;
	__u8 asks_names;
	__u8 connected;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct udp_key);
	__type(value, struct udp_flow);
} MAP(udp_flows);

/* A peer, as the socket has it or as the call names it. */
struct udp_peer {
	__u8 address[16];
	__u16 port;
	__u16 family;
	__u32 connected;
};

struct udp_call {
	struct sock *sk;
	__u64 session;
	__u64 bytes;
	/* Where the (first) datagram is; 0 = not known. */
	__u64 at;
	__u64 room;
	struct udp_key key;
	struct udp_peer peer;
	__u32 written;
	__u32 reserved;
};

static __noinline int emit_flow(struct udp_key *key, struct udp_flow *flow, __u32 type)
{
	struct net_record *record;

	if (!key || !flow || flow->left_out)
		return 0;
	record = begin_record(CLASS_NET, type, sizeof(*record), 0, flow->session);
	if (!record)
		return 0;
	__builtin_memset((void *)record + sizeof(record->header), 0,
			 sizeof(*record) - sizeof(record->header));
	record->header.pid = key->tgid;
	record->header.tid = flow->tid;
	record->header.cgroup = flow->cgroup;
	record->socket = flow->socket;
	record->protocol = IPPROTO_UDP;
	__builtin_memcpy(record->peer_address, flow->peer_address, 16);
	record->peer_port = flow->peer_port;
	record->local_port = flow->local_port;
	record->family = flow->family;
	record->accepted = flow->received_first;
	record->quic_version = flow->quic_version;
	if (type == RECORD_NET_CONNECTED)
		goto submit;
	record->duration_ns = record->header.boot_ns - flow->since_boot_ns;
	record->sent_bytes = flow->sent_bytes;
	record->received_bytes = flow->received_bytes;
	record->sent_datagrams = flow->sent_datagrams;
	record->received_datagrams = flow->received_datagrams;
	record->several_peers = flow->several_peers;
submit:
	submit_record(CLASS_NET, record, 0);
	return 0;
}

static __always_inline void end_flow(struct udp_key *key, struct udp_flow *flow)
{
	struct udp_key copy = *key;

	emit_flow(&copy, flow, RECORD_NET_CLOSED);
	if (!bpf_map_delete_elem(&udp_flows, &copy))
		let_go_descriptor(copy.tgid);
}

static __always_inline void take_name(struct udp_peer *peer, __u64 name)
{
	__u16 parts[2] = {};

	if (!name || bpf_probe_read_user(parts, sizeof(parts), (void *)name))
		return;
	if (parts[0] != AF_INET && parts[0] != AF_INET6)
		return;
	/* struct sockaddr_in has the address behind the port, sockaddr_in6 four bytes later. */
	if (bpf_probe_read_user(peer->address, parts[0] == AF_INET ? 4 : 16,
				(void *)name + (parts[0] == AF_INET ? 4 : 8)))
		return;
	peer->family = parts[0];
	peer->port = bpf_ntohs(parts[1]);
}

static __always_inline void take_connected_peer(struct sock *sk, struct udp_peer *peer)
{
	peer->port = bpf_ntohs(FIELD(sk, __sk_common.skc_dport));
	if (!peer->port)
		return;
	peer->family = FIELD(sk, __sk_common.skc_family);
	peer->connected = 1;
	if (peer->family == AF_INET)
		*(__u32 *)peer->address = FIELD(sk, __sk_common.skc_daddr);
	else
		BPF_CORE_READ_INTO(&peer->address, sk, __sk_common.skc_v6_daddr);
}

/* The first buffer of a message, and whom it goes to. */
static __always_inline void take_message(struct udp_call *call, __u64 at)
{
	struct user_message message;
	struct user_vector vector;

	if (bpf_probe_read_user(&message, sizeof(message), (void *)at))
		return;
	if (call->written)
		take_name(&call->peer, message.name);
	if (!message.vector_count ||
	    bpf_probe_read_user(&vector, sizeof(vector), (void *)message.vectors_at))
		return;
	call->at = vector.base;
	call->room = vector.length;
}

/* False: it is no call that names a descriptor and its buffers. */
static __always_inline bool take_call(struct udp_call *call, struct pt_regs *regs)
{
	struct user_vector vector;

	call->key.fd = SYSCALL_ARG1(regs);
	switch (SYSCALL_NUMBER(regs)) {
	case __NR_sendto:
		if (call->written)
			take_name(&call->peer, SYSCALL_ARG5(regs));
		/* fallthrough */
	case __NR_read:
	case __NR_write:
	case __NR_recvfrom:
		call->at = SYSCALL_ARG2(regs);
		call->room = SYSCALL_ARG3(regs);
		return true;
	case __NR_readv:
	case __NR_writev:
		if (!bpf_probe_read_user(&vector, sizeof(vector), (void *)SYSCALL_ARG2(regs))) {
			call->at = vector.base;
			call->room = vector.length;
		}
		return true;
	case __NR_sendmsg:
	case __NR_recvmsg:
		take_message(call, SYSCALL_ARG2(regs));
		return true;
	case __NR_sendmmsg:
		/* Only the first of them can be found: enough to know the peer and QUIC. */
		take_message(call, SYSCALL_ARG2(regs));
		return true;
	case __NR_recvmmsg:
		return true;
	}
	return false;
}

static __always_inline __u32 quic_version_of(struct udp_call *call)
{
	__u8 start[5] = {};
	__u32 version;

	if (call->bytes < MIN_QUIC_BYTES || call->room < sizeof(start) ||
	    bpf_probe_read_user(start, sizeof(start), (void *)call->at))
		return 0;
	version = (__u32)start[1] << 24 | start[2] << 16 | start[3] << 8 | start[4];
	if ((start[0] & QUIC_LONG) != QUIC_LONG)
		return 0;
	/* RFC 9000, RFC 9369, and drafts. */
	return version == 1 || version == QUIC_2 || version >> 8 == 0xff0000 ? version : 0;
}

static __always_inline void set_peer(struct udp_flow *flow, struct udp_peer *peer)
{
	__builtin_memcpy(flow->peer_address, peer->address, 16);
	flow->peer_port = peer->port;
	flow->family = peer->family;
	flow->connected = peer->connected;
}

static __always_inline bool is_peer(struct udp_flow *flow, struct udp_peer *peer)
{
	__u64 *mine = (__u64 *)flow->peer_address, *its = (__u64 *)peer->address;

	return flow->peer_port == peer->port && flow->family == peer->family && mine[0] == its[0] &&
	       mine[1] == its[1];
}

static __noinline int begin_flow(struct udp_call *call)
{
	struct udp_flow flow = {};

	if (!call)
		return 0;
	flow.socket = bpf_get_socket_cookie(call->sk);
	flow.session = call->session;
	flow.cgroup = bpf_get_current_cgroup_id();
	flow.tid = bpf_get_current_pid_tgid();
	flow.since_boot_ns = bpf_ktime_get_boot_ns();
	flow.told_boot_ns = flow.since_boot_ns;
	flow.looked_jiffies = bpf_jiffies64();
	flow.received_first = !call->written;
	if (call->peer.family && is_excluded_peer(call->peer.family, call->peer.address)) {
		COUNT(CLASS_NET, filtered, 1);
		flow.left_out = 1;
	} else {
		flow.left_out = !admits(call->session, CLASS_NET);
	}
	flow.quic_version = quic_version_of(call);
	flow.local_port = FIELD(call->sk, __sk_common.skc_num);
	set_peer(&flow, &call->peer);
	if (!hold_descriptor(CLASS_NET, call->key.tgid, call->key.fd))
		return 0;
	if (bpf_map_update_elem(&udp_flows, &call->key, &flow, BPF_ANY)) {
		COUNT(CLASS_NET, map_full, 1);
		let_go_descriptor(call->key.tgid);
		return 0;
	}
	emit_flow(&call->key, &flow, RECORD_NET_CONNECTED);
	return 0;
}

/* The flow of the call, begun anew if the socket or who it is connected to is another. */
static __always_inline struct udp_flow *flow_of(struct udp_call *call)
{
	struct udp_flow *flow = bpf_map_lookup_elem(&udp_flows, &call->key);

	if (flow && (flow->socket != bpf_get_socket_cookie(call->sk) ||
		     (flow->connected && call->peer.connected && !is_peer(flow, &call->peer)))) {
		end_flow(&call->key, flow);
		flow = NULL;
	}
	if (flow)
		return flow;
	begin_flow(call);
	return bpf_map_lookup_elem(&udp_flows, &call->key);
}

static __always_inline void fill_answer(struct dns_answered *record, struct udp_call *call,
					__u32 length, __u32 room)
{
	record->length = length;
	record->reserved = 0;
	asm volatile("if %0 <= %1 goto +1\n\t%0 = %1" : "+r"(length) : "r"(room));
	if (bpf_probe_read_user(record->message, length, (void *)call->at))
		discard_unreadable(CLASS_NET, record, record->length);
	else
		submit_record(CLASS_NET, record, record->length);
}

#define ANSWER_IF_FITS(room_)                                                                    \
	if (length <= (room_)) {                                                                 \
		record = begin_record(CLASS_NET, RECORD_DNS_ANSWERED, sizeof(*record) + (room_), \
				      length, call->session);                                    \
		if (record)                                                                      \
			fill_answer(record, call, length, room_);                                \
		return 0;                                                                        \
	}

static __noinline int emit_answer(struct udp_call *call)
{
	struct dns_answered *record;
	__u64 whole;
	__u32 length;

	if (!call || !call->at)
		return 0;
	whole = call->bytes < call->room ? call->bytes : call->room;
	length = whole < MAX_DNS_BYTES ? whole : MAX_DNS_BYTES;
	if (length < call->bytes) {
		COUNT(CLASS_NET, truncated, 1);
		COUNT(CLASS_NET, truncated_bytes, call->bytes - length);
	}
	ANSWER_IF_FITS(512);
	ANSWER_IF_FITS(1536);
	ANSWER_IF_FITS(MAX_DNS_BYTES);
	return 0;
}

static __always_inline void note_sent(struct udp_flow *flow, struct udp_call *call)
{
	__sync_fetch_and_add(&flow->sent_datagrams, 1);
	__sync_fetch_and_add(&flow->sent_bytes, call->bytes);
	if (call->peer.port == DNS_PORT)
		flow->asks_names = 1;
	if (!call->peer.family)
		return;
	if (!flow->family)
		set_peer(flow, &call->peer);
	else if (!is_peer(flow, &call->peer))
		flow->several_peers = 1;
}

static __always_inline void sample_flow(struct udp_key *key, struct udp_flow *flow)
{
	__u64 jiffies = bpf_jiffies64(), now_ns;

	if (jiffies - flow->looked_jiffies < LOOK_JIFFIES)
		return;
	flow->looked_jiffies = jiffies;
	now_ns = bpf_ktime_get_boot_ns();
	if (now_ns - flow->told_boot_ns < SAMPLE_NS)
		return;
	flow->told_boot_ns = now_ns;
	emit_flow(key, flow, RECORD_NET_SAMPLED);
}

static __always_inline int udp_used(struct sock *sk, __u64 bytes, bool written)
{
	struct udp_call call = {.sk = sk, .bytes = bytes, .written = written};
	struct udp_flow *flow;

	call.key.tgid = bpf_get_current_pid_tgid() >> 32;
	call.session = session_of(call.key.tgid);
	if (!call.session || IN_COMPAT_SYSCALL(bpf_get_current_task_btf()))
		return 0;
	CALL_REGISTERS(regs);
	if (!take_call(&call, regs))
		return 0;
	if (!call.peer.family)
		take_connected_peer(sk, &call.peer);
	flow = flow_of(&call);
	if (!flow)
		return 0;
	if (written) {
		note_sent(flow, &call);
	} else {
		__sync_fetch_and_add(&flow->received_datagrams, 1);
		__sync_fetch_and_add(&flow->received_bytes, bytes);
		if (flow->asks_names || (flow->connected && flow->peer_port == DNS_PORT))
			emit_answer(&call);
	}
	sample_flow(&call.key, flow);
	return 0;
}

static __always_inline bool is_udp(struct sock *sk)
{
	return FIELD(sk, sk_protocol) == IPPROTO_UDP && is_internet(sk);
}

/* A system call of a tracked process has closed a descriptor. */
static __always_inline void udp_closed(__u32 tgid, __s32 fd)
{
	struct udp_key key = {.tgid = tgid, .fd = fd};
	struct udp_flow *flow = bpf_map_lookup_elem(&udp_flows, &key);

	if (flow)
		end_flow(&key, flow);
}
