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

static __always_inline __u64 session_of_socket_call(struct sock *sk)
{
	__u64 session = session_of(bpf_get_current_pid_tgid() >> 32);

	if (session && is_tcp(sk))
		sample_socket(sk);
	return session;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(socket_sent, struct sock *sk, int bytes, int flags)
{
	__u64 session;

	if (switched_off() || bytes < 0 || !is_internet(sk))
		return 0;
	session = session_of_socket_call(sk);
	if (bytes && is_tcp(sk) && tls_sent(sk, bytes))
		return 0;
	if (CALLS_IN_ONE_PROGRAM && bytes && is_tcp(sk) && control.plain_sockets)
		return plain_used(sk, session, bytes, true);
	if (CALLS_IN_ONE_PROGRAM && session && is_udp(sk) && control.datagrams)
		udp_used(sk, session, bytes, true);
	return 0;
}

/* What a TCP socket has received that is not known to be TLS. */
static __always_inline int plain_received(struct sock *sk, __u64 session, int bytes)
{
	return bytes ? plain_used(sk, session, bytes, false) : plain_ended(sk);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(socket_received, struct sock *sk, int bytes, int flags)
{
	__u64 session;

	if (switched_off() || bytes < 0 || !is_internet(sk))
		return 0;
	session = session_of_socket_call(sk);
	if (bytes && is_tcp(sk) && tls_received(sk))
		return 0;
	if (!CALLS_IN_ONE_PROGRAM || flags & MSG_PEEK)
		return 0;
	if (is_tcp(sk) && control.plain_sockets)
		return plain_received(sk, session, bytes);
	if (session && is_udp(sk) && control.datagrams)
		udp_used(sk, session, bytes, false);
	return 0;
}

#if !CALLS_IN_ONE_PROGRAM
SEC("tp_btf/sock_send_length")
int BPF_PROG(plain_sent_companion, struct sock *sk, int bytes, int flags)
{
	if (switched_off() || bytes <= 0 || !control.plain_sockets || !is_tcp(sk))
		return 0;
	return plain_used(sk, session_of(bpf_get_current_pid_tgid() >> 32), bytes, true);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(plain_received_companion, struct sock *sk, int bytes, int flags)
{
	if (switched_off() || bytes < 0 || flags & MSG_PEEK || !control.plain_sockets ||
	    !is_tcp(sk))
		return 0;
	return plain_received(sk, session_of(bpf_get_current_pid_tgid() >> 32), bytes);
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(datagram_sent_companion, struct sock *sk, int bytes, int flags)
{
	__u64 session = session_of(bpf_get_current_pid_tgid() >> 32);

	if (switched_off() || bytes < 0 || !session || !control.datagrams || !is_udp(sk))
		return 0;
	return udp_used(sk, session, bytes, true);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(datagram_received_companion, struct sock *sk, int bytes, int flags)
{
	__u64 session = session_of(bpf_get_current_pid_tgid() >> 32);

	if (switched_off() || bytes < 0 || flags & MSG_PEEK || !session || !control.datagrams ||
	    !is_udp(sk))
		return 0;
	return udp_used(sk, session, bytes, false);
}
#endif
