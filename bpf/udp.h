/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records of what came from name servers; UDP sockets themselves are told by struct net_record. */
#pragma once

#include "lib/record.h"

#define MAX_DNS_BYTES 4096

struct dns_answered {
	struct record_header header;
	__u32 length;
	__u32 reserved;
	__u8 message[];
};
