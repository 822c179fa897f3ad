/* SPDX-License-Identifier: Apache-2.0 */
#include "bodies.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "net.h"
#include "udp.h"

#define IS_UDP(record) ((record)->protocol == IPPROTO_UDP)

static void put_address(struct buffer *body, unsigned field, uint16_t family,
			const uint8_t *address)
{
	char text[INET6_ADDRSTRLEN];

	address_text(family, address, text);
	put_bytes(body, field, text, strlen(text));
}

static enum body_field encode_net_connected(struct buffer *body, const struct net_record *record)
{
	put_fixed64(body, 1, record->socket);
	put_address(body, 2, record->family, record->peer_address);
	put_varint(body, 3, record->peer_port);
	/* Of UDP only the port is known. */
	put_address(body, 4, IS_UDP(record) ? 0 : record->family, record->local_address);
	put_varint(body, 5, record->local_port);
	put_signed(body, 6, record->error);
	put_varint(body, 7, record->duration_ns);
	put_varint(body, 8, record->accepted);
	put_varint(body, 9, IS_UDP(record));
	put_varint(body, 10, record->quic_version);
	return NET_CONNECTED;
}

static enum body_field encode_net_closed(struct buffer *body, const struct net_record *record,
					 enum body_field field)
{
	put_fixed64(body, 1, record->socket);
	put_address(body, 2, record->family, record->peer_address);
	put_varint(body, 3, record->peer_port);
	put_varint(body, 4, record->sent_bytes);
	put_varint(body, 5, record->received_bytes);
	put_varint(body, 6, record->duration_ns);
	put_signed(body, 7, record->error);
	put_varint(body, 8, record->retransmitted_bytes);
	put_varint(body, 9, record->round_trip_us);
	put_varint(body, 10, record->round_trip_deviation_us);
	put_varint(body, 11, record->least_round_trip_us);
	put_varint(body, 12, record->congestion_window);
	put_varint(body, 13, record->sent_segments);
	put_varint(body, 14, record->retransmitted_segments);
	put_varint(body, 15, record->lost_segments);
	put_varint(body, 16, IS_UDP(record));
	put_varint(body, 17, record->sent_datagrams);
	put_varint(body, 18, record->received_datagrams);
	put_varint(body, 19, record->several_peers);
	return field;
}

static enum body_field encode_dns_answered(struct buffer *body, const struct dns_answered *record,
					   size_t bytes)
{
	if (record->length > bytes - sizeof(*record))
		return 0;
	put_bytes(body, 1, record->message, record->length);
	return DNS_ANSWERED;
}

enum body_field encode_net(struct buffer *body, const void *record, uint16_t type, size_t bytes)
{
	switch (type) {
	case RECORD_NET_CONNECTED:
		return IF_WHOLE(struct net_record, encode_net_connected(body, record));
	case RECORD_NET_CLOSED:
		return IF_WHOLE(struct net_record, encode_net_closed(body, record, NET_CLOSED));
	case RECORD_NET_SAMPLED:
		return IF_WHOLE(struct net_record, encode_net_closed(body, record, NET_SAMPLED));
	case RECORD_DNS_ANSWERED:
		return IF_WHOLE(struct dns_answered, encode_dns_answered(body, record, bytes));
	}
	return 0;
}
