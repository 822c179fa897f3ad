/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What goes through sockets: one program for what is sent and one for what is received, inside the
 * socket calls, so that only these pay. They ask each part whether it is its business: TLS, plain
 * HTTP, datagrams, the quality of connections.
 */
#include "net.bpf.c"
#include "tls.bpf.c"
#include "plain.bpf.c"
#include "udp.bpf.c"

/* `bytes` 0 = the end was received; `peeked`: they stay in the socket. */
static __always_inline int tcp_used(struct sock *sk, int bytes, bool peeked, const bool written)
{
	__u64 session = session_of(bpf_get_current_pid_tgid() >> 32);

	if (session && bytes)
		sample_socket(sk);
	if (bytes && tls_used(sk, bytes, written))
		return 0;
	if (CALLS_IN_ONE_PROGRAM && control.plain_sockets && !peeked)
		plain_used(sk, session, bytes, written);
	return 0;
}

static __always_inline int socket_used(struct sock *sk, int bytes, bool peeked, const bool written)
{
	if (switched_off() || bytes < 0)
		return 0;
	if (is_tcp(sk))
		return tcp_used(sk, bytes, peeked, written);
	if (CALLS_IN_ONE_PROGRAM && control.datagrams && !peeked && is_udp(sk))
		udp_used(sk, bytes, written);
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(socket_sent, struct sock *sk, int bytes, int flags)
{
	return socket_used(sk, bytes, false, true);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(socket_received, struct sock *sk, int bytes, int flags)
{
	return socket_used(sk, bytes, flags & MSG_PEEK, false);
}

#if !CALLS_IN_ONE_PROGRAM
static __always_inline int plain_companion(struct sock *sk, int bytes, bool written)
{
	if (switched_off() || bytes < 0 || !control.plain_sockets || !is_tcp(sk))
		return 0;
	return plain_used(sk, session_of(bpf_get_current_pid_tgid() >> 32), bytes, written);
}

static __always_inline int datagram_companion(struct sock *sk, int bytes, bool written)
{
	if (switched_off() || bytes < 0 || !control.datagrams || !is_udp(sk))
		return 0;
	return udp_used(sk, bytes, written);
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(plain_sent_companion, struct sock *sk, int bytes, int flags)
{
	return plain_companion(sk, bytes, true);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(plain_received_companion, struct sock *sk, int bytes, int flags)
{
	return flags & MSG_PEEK ? 0 : plain_companion(sk, bytes, false);
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(datagram_sent_companion, struct sock *sk, int bytes, int flags)
{
	return datagram_companion(sk, bytes, true);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(datagram_received_companion, struct sock *sk, int bytes, int flags)
{
	return flags & MSG_PEEK ? 0 : datagram_companion(sk, bytes, false);
}
#endif
