/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TCP connections that processes make: who, with whom, how it went, how much in each direction.
 *
 * What is known of a socket lies in the socket itself and outlives the process. Not seen:
 * connections that are accepted, and failures before the first packet (no route).
 */
#include "net.h"
#include "lib/connections.bpf.h"

enum tcp_state {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_FIN_WAIT1 = 4,
	TCP_CLOSE = 7,
	TCP_LAST_ACK = 9,
};

#define ECONNABORTED 103

struct socket_origin {
	__u64 session;
	__u64 since_boot_ns;
	__u64 cgroup;
	__u32 tgid;
	__u32 tid;
	/* The connected record was for somebody: there will be a closed one. */
	__u32 established;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_origin);
} socket_origins SEC(".maps");

static __always_inline void note_connecting(struct sock *sk)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), session = session_of(pid_tgid >> 32);
	struct socket_origin *origin;

	/* While discovering, the process may be tracked before the connection ends. */
	if (!session && !control.discover)
		return;
	origin = bpf_sk_storage_get(&socket_origins, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!origin) {
		COUNT(CLASS_NET, map_full, 1);
		return;
	}
	origin->session = session;
	origin->since_boot_ns = bpf_ktime_get_boot_ns();
	origin->cgroup = bpf_get_current_cgroup_id();
	origin->tgid = pid_tgid >> 32;
	origin->tid = pid_tgid;
	origin->established = 0;
}

static __always_inline void fill_addresses(struct net_record *record, struct sock *sk)
{
	record->family = sk->__sk_common.skc_family;
	/* skc_num is already 0 when the socket closes. */
	record->local_port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	record->peer_port = bpf_ntohs(sk->__sk_common.skc_dport);
	if (record->family == AF_INET) {
		__builtin_memset(record->peer_address, 0, sizeof(record->peer_address));
		__builtin_memset(record->local_address, 0, sizeof(record->local_address));
		*(__u32 *)record->peer_address = sk->__sk_common.skc_daddr;
		*(__u32 *)record->local_address = sk->__sk_common.skc_rcv_saddr;
		return;
	}
	BPF_CORE_READ_INTO(&record->peer_address, sk, __sk_common.skc_v6_daddr);
	BPF_CORE_READ_INTO(&record->local_address, sk, __sk_common.skc_v6_rcv_saddr);
}

/* The states change in whatever context the packet comes in: the process is the one of connect().
 */
static __always_inline struct net_record *begin_net_record(struct sock *sk, __u16 type,
							   struct socket_origin *origin)
{
	struct net_record *record =
		begin_record(CLASS_NET, type, sizeof(*record), 0, origin->session);

	if (!record)
		return NULL;
	record->header.pid = origin->tgid;
	record->header.tid = origin->tid;
	record->header.cgroup = origin->cgroup;
	record->socket = bpf_get_socket_cookie(sk);
	record->duration_ns = record->header.boot_ns - origin->since_boot_ns;
	record->sent_bytes = 0;
	record->received_bytes = 0;
	record->reserved = 0;
	record->reserved2 = 0;
	record->error = 0;
	fill_addresses(record, sk);
	return record;
}

static __always_inline void emit_connected(struct sock *sk, struct socket_origin *origin, int error)
{
	struct net_record *record = begin_net_record(sk, RECORD_NET_CONNECTED, origin);

	if (!record)
		return;
	record->error = error;
	submit_record(CLASS_NET, record, 0);
}

static __always_inline void emit_net_closed(struct sock *sk, struct socket_origin *origin)
{
	struct net_record *record = begin_net_record(sk, RECORD_NET_CLOSED, origin);
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	__u64 received;

	if (!record)
		return;
	record->sent_bytes = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
	received = BPF_CORE_READ(tcp, bytes_received);
	/* The peer's FIN has counted as one byte. */
	if (received && BPF_CORE_READ(sk, __sk_common.skc_flags) & 1ul << SOCK_DONE)
		received--;
	record->received_bytes = received;
	submit_record(CLASS_NET, record, 0);
}

static __always_inline void note_state(struct sock *sk, int old_state, int new_state)
{
	struct socket_origin *origin;

	if (new_state == TCP_SYN_SENT) {
		note_connecting(sk);
		return;
	}
	if (new_state != TCP_CLOSE && old_state != TCP_SYN_SENT)
		return;
	origin = bpf_sk_storage_get(&socket_origins, sk, NULL, 0);
	if (!origin)
		return;
	if (!origin->session)
		origin->session = session_of(origin->tgid);
	if (old_state == TCP_SYN_SENT && origin->session) {
		int error = BPF_CORE_READ(sk, sk_err);

		emit_connected(sk, origin,
			       new_state != TCP_CLOSE ? 0 : (error ? error : ECONNABORTED));
	}
	if (new_state == TCP_CLOSE) {
		if (origin->established && origin->session)
			emit_net_closed(sk, origin);
		bpf_sk_storage_delete(&socket_origins, sk);
		return;
	}
	origin->established = 1;
	origin->since_boot_ns = bpf_ktime_get_boot_ns();
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(socket_state_changed, struct sock *sk, int old_state, int new_state)
{
	if (switched_off())
		return 0;
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (new_state == TCP_CLOSE || new_state == TCP_FIN_WAIT1 || new_state == TCP_LAST_ACK)
		forget_socket(sk);
	note_state(sk, old_state, new_state);
	return 0;
}
