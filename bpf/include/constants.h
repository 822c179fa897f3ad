/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Numbers of the kernel that its headers for user space have not, or not without much else. */
#pragma once

#define AF_INET	 2
#define AF_INET6 10

#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

#define MSG_PEEK     2
#define ECONNABORTED 103

#define AT_FDCWD     (-100)
#define AT_REMOVEDIR 0x200

#define F_DUPFD		0
#define F_DUPFD_CLOEXEC 1030

#define PROT_WRITE 2
#define MAP_SHARED 1
#define MAP_TYPE   15 /* MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE */

#define S_IFMT	 0170000
#define S_IFIFO	 0010000
#define S_IFSOCK 0140000
#define S_IFREG	 0100000

/* signal_struct.flags */
#define SIGNAL_GROUP_EXIT 4
#define SIGNAL_UNKILLABLE 0x40 /* the first process of a PID namespace */
/* In the place of a struct kernel_siginfo: from the kernel. */
#define SEND_SIG_PRIV 1

enum tcp_state {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_FIN_WAIT1 = 4,
	TCP_CLOSE = 7,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
};

enum sock_flags {
	SOCK_DONE = 1,
};
