/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of plaintext and of the connections it flows on. */
#pragma once

#include "lib/record.h"

/*
 * What the probed function looks like: the attach cookie of tls_enter and tls_return.
 * Bit 0 tells the direction; the rest how the length comes back.
 */
enum tls_hook {
	/* int SSL_read(SSL *, void *, int): the length is returned, <= 0 is an error. */
	TLS_HOOK_READ = 0,
	TLS_HOOK_WRITE = 1,
	/* int SSL_read_ex(SSL *, void *, size_t, size_t *): > 0 and the length at *arg4. */
	TLS_HOOK_READ_EX = 2,
	TLS_HOOK_WRITE_EX = 3,
	/* int SSL_write_ex2(SSL *, void *, size_t, uint64_t flags, size_t *): at *arg5. */
	TLS_HOOK_WRITE_EX2 = 11,
	/* ssize_t f(session, void *, size_t): a 64-bit length, <= 0 is an error. */
	TLS_HOOK_READ_LONG = 4,
	TLS_HOOK_WRITE_LONG = 5,
	/* PRInt32 PR_Read(PRFileDesc *, void *, PRInt32), only where a layer lies above the file.
	 */
	TLS_HOOK_READ_LAYERED = 6,
	TLS_HOOK_WRITE_LAYERED = 7,
	/* PR_Recv(..., PRIntn flags, ...): the same, but not what it only peeks at. */
	TLS_HOOK_RECEIVE_LAYERED = 14,
	/* tls_go: func (*Conn) Read([]byte) (int, error) and its RETs, Write, Close. */
	TLS_HOOK_GO_READ = 32,
	TLS_HOOK_GO_WRITE = 33,
	TLS_HOOK_GO_READ_END = 34,
	TLS_HOOK_GO_CLOSE = 35,
	/* tls_seal: EVP_AEAD_CTX_seal and _seal_scatter; tls_open and tls_opened: _open. */
	TLS_HOOK_AEAD_SEAL = 48,
	TLS_HOOK_AEAD_SEAL_SCATTER = 49,
	TLS_HOOK_AEAD_OPEN = 50,
};

#define TLS_HOOK_WRITTEN 1
#define TLS_HOOK_ABI	 6
#define TLS_HOOK_FLAGS	 8

/* One TLS record is at most 16 KiB, so is one piece of a longer call. */
#define TLS_PIECE_BYTES 16384

/* Where plaintext was taken; the same for all of a connection. */
enum payload_source {
	SOURCE_TLS = 0,
	/* A TCP socket on which no TLS is spoken. */
	SOURCE_SOCKET = 1,
	/* Standard input (read) and output (written) of a process, where they are pipes. */
	SOURCE_STDIO = 2,
	/* Standard error, where it is a pipe. */
	SOURCE_STDERR = 3,
	/* Lines that readline gave to a shell (read). */
	SOURCE_READLINE = 4,
};

struct tls_record {
	struct record_header header;
	__u64 connection;
	/* Bytes of this direction that are missing right before `payload`. */
	__u64 lost_bytes;
	__u32 length;
	/* enum payload_source */
	__u32 source;
	__u8 payload[];
};

struct connection_opened {
	struct record_header header;
	__u64 connection;
	/* IPv4 addresses use the first four bytes. */
	__u8 peer_address[16];
	__u16 peer_port;
	/* AF_INET or AF_INET6 */
	__u16 family;
	__u32 reserved;
};

struct connection_closed {
	struct record_header header;
	__u64 connection;
	/* Bytes that are missing at the end. */
	__u64 lost_read_bytes;
	__u64 lost_written_bytes;
};
