/* SPDX-License-Identifier: Apache-2.0 */
#include "bodies.h"

#include <arpa/inet.h>
#include <string.h>

#include "net.h"

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
	put_address(body, 4, record->family, record->local_address);
	put_varint(body, 5, record->local_port);
	put_signed(body, 6, record->error);
	put_varint(body, 7, record->duration_ns);
	put_varint(body, 8, record->accepted);
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
	return field;
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
	}
	return 0;
}
