/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TCP connections: who, with whom, how it went and ended, how much and how well in each direction.
 *
 * What is known of a socket lies in the socket itself and outlives the process; accepted sockets
 * inherit it from the one that listens, so their process is the one that called listen(). Not seen:
 * failures before the first packet (no route), sockets that listened before.
 */
#include "net.h"
#include "lib/connections.bpf.h"
#include "lib/familiar.bpf.h"
#include "lib/limits.bpf.h"
#include "lib/origins.bpf.h"

static __always_inline void note_origin(struct sock *sk, __u32 listens)
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
	origin->listens = listens;
	origin->looked_jiffies = bpf_jiffies64();
	origin->told_boot_ns = origin->since_boot_ns;
}

static __always_inline void fill_addresses(struct net_record *record, struct sock *sk)
{
	record->family = FIELD(sk, __sk_common.skc_family);
	/* skc_num is already 0 when the socket closes. */
	record->local_port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	record->peer_port = bpf_ntohs(FIELD(sk, __sk_common.skc_dport));
	if (record->family == AF_INET) {
		__builtin_memset(record->peer_address, 0, sizeof(record->peer_address));
		__builtin_memset(record->local_address, 0, sizeof(record->local_address));
		*(__u32 *)record->peer_address = FIELD(sk, __sk_common.skc_daddr);
		*(__u32 *)record->local_address = FIELD(sk, __sk_common.skc_rcv_saddr);
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
	record->protocol = IPPROTO_TCP;
	record->error = 0;
	record->accepted = origin->listens;
	record->retransmitted_bytes = 0;
	record->round_trip_us = 0;
	record->round_trip_deviation_us = 0;
	record->least_round_trip_us = 0;
	record->congestion_window = 0;
	record->sent_segments = 0;
	record->retransmitted_segments = 0;
	record->lost_segments = 0;
	record->quic_version = 0;
	record->sent_datagrams = 0;
	record->received_datagrams = 0;
	record->several_peers = 0;
	record->reserved = 0;
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

static __always_inline void fill_quality(struct net_record *record, struct sock *sk)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	__u32 least = BPF_CORE_READ(tcp, rtt_min.s[0].v);

	record->retransmitted_bytes = BPF_CORE_READ(tcp, bytes_retrans);
	record->sent_bytes = BPF_CORE_READ(tcp, bytes_sent) - record->retransmitted_bytes;
	record->received_bytes = BPF_CORE_READ(tcp, bytes_received);
	/* The kernel keeps these in eighths and quarters. */
	record->round_trip_us = BPF_CORE_READ(tcp, srtt_us) >> 3;
	record->round_trip_deviation_us = BPF_CORE_READ(tcp, mdev_us) >> 2;
	record->least_round_trip_us = least == 0xffffffff ? 0 : least;
	record->congestion_window = BPF_CORE_READ(tcp, snd_cwnd);
	record->sent_segments = BPF_CORE_READ(tcp, data_segs_out);
	record->retransmitted_segments = BPF_CORE_READ(tcp, total_retrans);
	record->lost_segments = BPF_CORE_READ(tcp, lost);
}

static __always_inline void emit_net_closed(struct sock *sk, struct socket_origin *origin)
{
	struct net_record *record = begin_net_record(sk, RECORD_NET_CLOSED, origin);

	if (!record)
		return;
	fill_quality(record, sk);
	record->error = BPF_CORE_READ(sk, sk_err);
	/* The peer's FIN has counted as one byte. */
	if (record->received_bytes && BPF_CORE_READ(sk, __sk_common.skc_flags) & 1ul << SOCK_DONE)
		record->received_bytes--;
	submit_record(CLASS_NET, record, 0);
}

/* Is what happens on a connection that begins to be recorded? */
static __always_inline bool is_wanted_connection(struct sock *sk, struct socket_origin *origin)
{
	struct peer peer = {};

	if (control.excludes_peers && peer_of(sk, &peer) &&
	    is_excluded_peer(peer.family, peer.address)) {
		COUNT(CLASS_NET, filtered, 1);
		return false;
	}
	return admits(origin->session, CLASS_NET);
}

/* A socket that a listening one has made is established: its process is that one's. */
static __always_inline void note_accepted(struct sock *sk)
{
	struct socket_origin *origin = bpf_sk_storage_get(&socket_origins, sk, NULL, 0);

	if (!origin || !origin->listens)
		return;
	if (!origin->session)
		origin->session = session_of(origin->tgid);
	origin->since_boot_ns = bpf_ktime_get_boot_ns();
	origin->told_boot_ns = origin->since_boot_ns;
	origin->established = 1;
	if (!origin->session)
		return;
	if (is_wanted_connection(sk, origin))
		emit_connected(sk, origin, 0);
	else
		bpf_sk_storage_delete(&socket_origins, sk);
}

/* How a connection does that stays open, from time to time. */
static __noinline int sample_socket(struct sock *sk)
{
	struct socket_origin *origin = bpf_sk_storage_get(&socket_origins, sk, NULL, 0);
	__u64 now = bpf_jiffies64(), now_ns;
	struct net_record *record;

	if (!origin || !origin->session || !origin->established ||
	    now - origin->looked_jiffies < LOOK_JIFFIES)
		return 0;
	origin->looked_jiffies = now;
	now_ns = bpf_ktime_get_boot_ns();
	if (now_ns - origin->told_boot_ns < SAMPLE_NS)
		return 0;
	origin->told_boot_ns = now_ns;
	record = begin_net_record(sk, RECORD_NET_SAMPLED, origin);
	if (!record)
		return 0;
	fill_quality(record, sk);
	submit_record(CLASS_NET, record, 0);
	return 0;
}

static __always_inline void note_state(struct sock *sk, int old_state, int new_state)
{
	struct socket_origin *origin;

	if (new_state == TCP_SYN_SENT || new_state == TCP_LISTEN) {
		note_networker();
		note_origin(sk, new_state == TCP_LISTEN);
		return;
	}
	if (old_state == TCP_SYN_RECV && new_state == TCP_ESTABLISHED) {
		note_accepted(sk);
		return;
	}
	if (new_state != TCP_CLOSE && old_state != TCP_SYN_SENT)
		return;
	origin = bpf_sk_storage_get(&socket_origins, sk, NULL, 0);
	if (!origin)
		return;
	if (!origin->session)
		origin->session = session_of(origin->tgid);
	if (old_state == TCP_SYN_SENT && !is_wanted_connection(sk, origin)) {
		bpf_sk_storage_delete(&socket_origins, sk);
		return;
	}
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
	if (FIELD(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (new_state == TCP_CLOSE || new_state == TCP_FIN_WAIT1 || new_state == TCP_LAST_ACK)
		forget_socket(sk);
	note_state(sk, old_state, new_state);
	return 0;
}
