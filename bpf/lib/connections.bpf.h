/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TLS connections: their numbers, which of them are muted, and which peer they talk to.
 *
 * A connection is an SSL object of one life: SSL_free ends it, and so do an exec, the end of the
 * process and the close of its socket; the same address is then another connection.
 */
#pragma once

#include "../tls.h"
#include "familiar.bpf.h"
#include "limits.bpf.h"
#include "peers.bpf.h"
#include "ring.bpf.h"
#include "sessions.bpf.h"

struct connection_key {
	__u32 tgid;
	__u32 reserved;
	__u64 ssl;
};

/* In the place of an SSL object's address, which is never so small: standard streams. */
#define STDIO_KEY	1
#define STDERR_KEY	2
#define READLINE_KEY	3
#define LAST_STREAM_KEY READLINE_KEY

enum connection_flags {
	/* User space has been told of it by a record. */
	CONNECTION_ANNOUNCED = 1,
	/* Our side has closed the socket: what is written now is another connection. */
	CONNECTION_SOCKET_GONE = 2,
	/* What is read, or written, is not taken for the rest of the connection's life. */
	CONNECTION_OFF_READ = 4,
	CONNECTION_OFF_WRITTEN = 8,
	/* Something of the direction has been taken. */
	CONNECTION_BEGUN_READ = 16,
	CONNECTION_BEGUN_WRITTEN = 32,
	/* What the descriptor is has been looked at. */
	CONNECTION_CHECKED_READ = 64,
	CONNECTION_CHECKED_WRITTEN = 128,
	/* It is a socket on which HTTP is spoken without TLS. */
	CONNECTION_PLAIN = 256,
};

struct connection {
	__u64 id;
	/* Identifies the running program: start time of the process + number of its execs. */
	__u64 program;
	__u64 generation;
	/* The struct sock * that it was found to use; 0 = not known. */
	__u64 socket;
	/* Bytes lost since the last record that got through; [1] written, [0] read. */
	__u64 lost_bytes[2];
	__u32 flags;
	/* Standard streams: what was taken before user space knew what it is, and how many calls
	 * moved something that cannot be JSON-RPC. */
	__u32 unjudged_bytes;
	__u32 strikes;
	__u32 reserved;
};

#define CONNECTION_OFF (CONNECTION_OFF_READ | CONNECTION_OFF_WRITTEN)

/* LRU: connections that never saw SSL_free must not fill it for ever. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct connection_key);
	__type(value, struct connection);
} MAP(connections);

enum verdict {
	VERDICT_MUTED = 1,
	/* Standard streams: they have shown that they are what is looked for. */
	VERDICT_WANTED = 2,
};

/* Connections whose content does not interest, by id, and what else user space has found out. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u8);
} MAP(muted_connections);

/* Processes in no session with connections: user space must hear of their end. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u8);
} MAP(talkers);

struct bound_socket {
	struct connection_key key;
	__u64 id;
};

/* struct sock * to the connection that was found to use it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct bound_socket);
} MAP(bound_sockets);

struct peer {
	__u64 socket;
	__u8 address[16];
	__u16 port;
	__u16 family;
	__u32 reserved;
};

__u64 MAP_VALUE(next_connection, ".data.next_connection") = 1;

static __always_inline __u64 current_program(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return FIELD(task, group_leader, start_boottime) + FIELD(task, self_exec_id);
}

static __always_inline void announce_closed(struct connection *connection)
{
	struct connection_closed *record;

	if (!(connection->flags & CONNECTION_ANNOUNCED))
		return;
	record = begin_record(CLASS_TLS, RECORD_CONNECTION_CLOSED, sizeof(*record), 0,
			      session_of(bpf_get_current_pid_tgid() >> 32));
	if (!record)
		return;
	record->connection = connection->id;
	record->lost_read_bytes = connection->lost_bytes[0];
	record->lost_written_bytes = connection->lost_bytes[1];
	submit_record(CLASS_TLS, record, 0);
}

static __always_inline bool is_current(struct connection *connection, bool writing)
{
	if (writing && connection->flags & CONNECTION_SOCKET_GONE)
		return false;
	return connection->generation == control.generation &&
	       connection->program == current_program();
}

/* The connection that `ssl` is now, made if it is new; NULL and counted if there is no room. */
static __noinline struct connection *connection_of(__u64 ssl, bool writing)
{
	struct connection_key key = {.tgid = bpf_get_current_pid_tgid() >> 32, .ssl = ssl};
	struct connection *connection = bpf_map_lookup_elem(&connections, &key);
	struct connection fresh = {};
	__u8 one = 1;

	if (connection && is_current(connection, writing))
		return connection;
	if (connection)
		announce_closed(connection);
	fresh.id = __sync_fetch_and_add(&next_connection, 1);
	fresh.program = current_program();
	fresh.generation = control.generation;
	bpf_map_update_elem(&talkers, &key.tgid, &one, BPF_ANY);
	if (CAN_DOUBT && ssl > LAST_STREAM_KEY && !membership_of(key.tgid))
		doubt_program();
	if (!admits(session_of(key.tgid), ssl <= LAST_STREAM_KEY ? CLASS_STDIO : CLASS_TLS))
		bpf_map_update_elem(&muted_connections, &fresh.id, &one, BPF_ANY);
	bpf_map_update_elem(&connections, &key, &fresh, BPF_ANY);
	connection = bpf_map_lookup_elem(&connections, &key);
	if (!connection)
		COUNT(CLASS_TLS, map_full, 1);
	return connection;
}

static __always_inline bool is_muted(struct connection *connection)
{
	__u64 id = connection->id;

	return bpf_map_lookup_elem(&muted_connections, &id) != NULL;
}

static __always_inline bool is_internet(struct sock *sk)
{
	__u16 family = FIELD(sk, __sk_common.skc_family);

	return family == AF_INET || family == AF_INET6;
}

static __always_inline bool is_tcp(struct sock *sk)
{
	return FIELD(sk, sk_protocol) == IPPROTO_TCP && is_internet(sk);
}

static __always_inline bool peer_of(struct sock *sk, struct peer *peer)
{
	__u16 family = FIELD(sk, __sk_common.skc_family);

	if (!is_tcp(sk))
		return false;
	peer->socket = (__u64)sk;
	peer->family = family;
	peer->port = bpf_ntohs(FIELD(sk, __sk_common.skc_dport));
	if (family == AF_INET)
		*(__u32 *)peer->address = FIELD(sk, __sk_common.skc_daddr);
	else
		BPF_CORE_READ_INTO(&peer->address, sk, __sk_common.skc_v6_daddr);
	return true;
}

/* The current process's connection `ssl` talks to `peer`: say so, once. */
static __noinline int bind_peer(__u64 ssl, struct peer *peer)
{
	struct bound_socket bound = {};
	struct connection_opened *record;
	struct connection *connection;
	__u8 one = VERDICT_MUTED;

	bound.key.tgid = bpf_get_current_pid_tgid() >> 32;
	bound.key.ssl = ssl;
	connection = bpf_map_lookup_elem(&connections, &bound.key);
	if (!connection || connection->socket)
		return 0;
	bound.id = connection->id;
	if (is_excluded_peer(peer->family, peer->address))
		bpf_map_update_elem(&muted_connections, &bound.id, &one, BPF_ANY);
	record = begin_record(CLASS_TLS, RECORD_CONNECTION_OPENED, sizeof(*record), 0,
			      session_of(bound.key.tgid));
	if (!record)
		return 0; /* not bound: the next socket operation tries again */
	connection->flags |= CONNECTION_ANNOUNCED;
	connection->socket = peer->socket;
	bpf_map_update_elem(&bound_sockets, &peer->socket, &bound, BPF_ANY);
	record->connection = connection->id;
	__builtin_memcpy(record->peer_address, peer->address, sizeof(record->peer_address));
	record->peer_port = peer->port;
	record->family = peer->family;
	record->reserved = 0;
	submit_record(CLASS_TLS, record, 0);
	return 0;
}

/* A socket is being closed by our side; runs for all sockets, also in soft interrupts. */
static __always_inline void forget_socket(struct sock *sk)
{
	__u64 socket = (__u64)sk;
	struct bound_socket *bound = bpf_map_lookup_elem(&bound_sockets, &socket);
	struct connection *connection;

	if (!bound)
		return;
	connection = bpf_map_lookup_elem(&connections, &bound->key);
	if (connection && connection->id == bound->id) {
		connection->flags |= CONNECTION_SOCKET_GONE;
		if (connection->flags & CONNECTION_PLAIN) {
			announce_closed(connection);
			bpf_map_delete_elem(&connections, &bound->key);
		}
	}
	bpf_map_delete_elem(&bound_sockets, &socket);
}
