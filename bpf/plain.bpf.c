/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Plain HTTP: what clients write to and read from TCP sockets on which no TLS is spoken.
 *
 * Called by the programs in the socket calls, in the caller's context; the buffers are those of the
 * system call around them. Watched are the sockets of processes in sessions and, of all other
 * processes, connections on this machine to the ports where local models listen. A connection whose
 * first written bytes are no HTTP is switched off for its life. Not seen: io_uring; bodies that are
 * sent by sendfile or splice are counted as lost.
 */
#include "lib/payload.bpf.h"
#include "lib/vectors.bpf.h"

/* Ports where local models listen; written by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u16);
	__type(value, __u8);
} MAP(local_model_ports);

static __always_inline bool is_loopback(struct peer *peer)
{
	__u64 *parts = (__u64 *)peer->address;

	if (peer->family == AF_INET)
		return peer->address[0] == 127;
	/* ::1, and IPv4 within IPv6 */
	if (parts[0])
		return false;
	return parts[1] == bpf_cpu_to_be64(1) ||
	       (peer->address[10] == 0xff && peer->address[12] == 127);
}

static __always_inline bool is_local_model(struct peer *peer)
{
	__u16 port = peer->port;

	return is_loopback(peer) && bpf_map_lookup_elem(&local_model_ports, &port);
}

#define FOUR(a, b, c, d) ((a) | (b) << 8 | (c) << 16 | (d) << 24)

/* Does what a client writes first begin with a method, or with the preface of HTTP/2? */
static __always_inline bool begins_http(struct moved_bytes *moved)
{
	__u32 start = 0;

	if (bpf_probe_read_user(&start, sizeof(start), (void *)first_byte_of(moved)))
		return false;
	switch (start) {
	case FOUR('G', 'E', 'T', ' '):
	case FOUR('P', 'O', 'S', 'T'):
	case FOUR('P', 'U', 'T', ' '):
	case FOUR('P', 'A', 'T', 'C'):
	case FOUR('D', 'E', 'L', 'E'):
	case FOUR('H', 'E', 'A', 'D'):
	case FOUR('O', 'P', 'T', 'I'):
	case FOUR('P', 'R', 'I', ' '):
		return true;
	}
	return false;
}

static __noinline int plain_moved(struct peer *peer, struct moved_request *request)
{
	struct connection *connection = connection_of(peer->socket, request->written);

	if (!connection || connection->flags & CONNECTION_OFF || is_muted(connection))
		return 0;
	if (!(connection->flags & CONNECTION_BEGUN_WRITTEN)) {
		/* The client speaks first. */
		if (!request->written)
			return 0;
		if (!begins_http(&request->moved)) {
			connection->flags |= CONNECTION_OFF;
			return 0;
		}
		connection->flags |= CONNECTION_BEGUN_WRITTEN | CONNECTION_PLAIN;
	}
	bind_peer(peer->socket, peer);
	return emit_moved(connection, request);
}

/* Bytes went by that cannot be read: of a body that the kernel took from a file. */
static __noinline int plain_lost(struct peer *peer, __u64 bytes, bool written)
{
	struct connection_key key = {.tgid = bpf_get_current_pid_tgid() >> 32, .ssl = peer->socket};
	struct connection *connection = bpf_map_lookup_elem(&connections, &key);

	if (!connection || !(connection->flags & CONNECTION_PLAIN) || is_muted(connection))
		return 0;
	connection->lost_bytes[written] += bytes;
	COUNT(CLASS_TLS, truncated, 1);
	COUNT(CLASS_TLS, truncated_bytes, bytes);
	return 0;
}

/* The peer has said all: some bodies end by that. */
static __noinline int plain_ended(struct sock *sk)
{
	struct connection_key key = {.tgid = bpf_get_current_pid_tgid() >> 32, .ssl = (__u64)sk};
	struct connection *connection = bpf_map_lookup_elem(&connections, &key);

	if (!connection || !(connection->flags & CONNECTION_PLAIN))
		return 0;
	announce_closed(connection);
	bpf_map_delete_elem(&connections, &key);
	return 0;
}

/* Does it interest what a process of no session says to this peer? */
static __always_inline bool asks_local_model(struct peer *peer)
{
	return is_local_model(peer) && is_candidate(bpf_get_current_pid_tgid() >> 32);
}

/* A TCP socket has moved bytes, or received the end, that is not known to be TLS. */
static __always_inline int plain_used(struct sock *sk, __u64 session, long bytes, bool written)
{
	struct moved_request request = {
		.session = session,
		.moved.bytes = bytes,
		.written = written,
		.source = SOURCE_SOCKET,
	};
	struct peer peer = {};

	if (!bytes)
		return written ? 0 : plain_ended(sk);
	if (!peer_of(sk, &peer) || (!session && !asks_local_model(&peer)) ||
	    IN_COMPAT_SYSCALL(bpf_get_current_task_btf()))
		return 0;
	request.ssl = peer.socket;
	CALL_REGISTERS(regs);
	if (find_moved(SYSCALL_NUMBER(regs), SYSCALL_ARG2(regs), SYSCALL_ARG3(regs), bytes,
		       &request.moved) &&
	    moves_out(SYSCALL_NUMBER(regs)) == written)
		return plain_moved(&peer, &request);
	return plain_lost(&peer, bytes, written);
}
