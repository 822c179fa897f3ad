/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program with rustls above AWS-LC looks like from outside: the paths of rustls's sources,
 * functions with the signatures and the errors of AWS-LC's AEAD, and heads of TLS records as
 * additional data. Nothing is encrypted. Talks to the port that argument 1 names.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define APART __attribute__((noipa))
#define TAG   16

/* CIPHER_R_*; a flag of the compiler may say otherwise. */
#define BAD_DECRYPT 101
#define TOO_SMALL   103
#define ALIASES	    115
#ifndef INVALID
#define INVALID 112
#endif
#ifndef TOO_LARGE
#define TOO_LARGE 117
#endif

enum { HANDSHAKE = 22, APPLICATION_DATA = 23 };

const char *const sources[] = {
	"registry/rustls-0.23.40/src/crypto/aws_lc_rs/tls13.rs",
#ifdef WITH_RING
	"registry/rustls-0.23.40/src/crypto/ring/tls13.rs",
#endif
};

APART void ERR_put_error(int library, int unused, int reason, const char *file, unsigned line)
{
	fprintf(stderr, "%d %d %d %s:%u\n", library, unused, reason, file, line);
}

#define RAISE(reason) \
	ERR_put_error(30, 0, reason, "/aws-lc/crypto/fipsmodule/cipher/aead.c", __LINE__)

APART int seal(const void *context, uint8_t *out, size_t *out_bytes, size_t room,
	       const uint8_t *nonce, size_t nonce_bytes, const uint8_t *in, size_t in_bytes,
	       const uint8_t *head, size_t head_bytes)
{
	if (in_bytes + TAG < in_bytes)
		RAISE(TOO_LARGE);
	else if (room < in_bytes + TAG)
		RAISE(TOO_SMALL);
	else if (in != out && in < out + room && out < in + in_bytes)
		RAISE(ALIASES);
	else
		return *out_bytes = in_bytes + TAG, 1;
	return 0;
}

APART int seal_scatter(const void *context, uint8_t *out, uint8_t *tag, size_t *tag_bytes,
		       size_t room, const uint8_t *nonce, size_t nonce_bytes, const uint8_t *in,
		       size_t in_bytes, const uint8_t *extra, size_t extra_bytes,
		       const uint8_t *head, size_t head_bytes)
{
	if (in != out && in < out + in_bytes && out < in + in_bytes)
		RAISE(ALIASES);
	else if (extra_bytes)
		RAISE(INVALID);
	else
		return *tag_bytes = TAG, 1;
	return 0;
}

APART int open_sealed(const void *context, uint8_t *out, size_t *out_bytes, size_t room,
		      const uint8_t *nonce, size_t nonce_bytes, const uint8_t *in, size_t in_bytes,
		      const uint8_t *head, size_t head_bytes)
{
	if (in != out && in < out + room && out < in + in_bytes)
		RAISE(ALIASES);
	else if (in_bytes < TAG || in[in_bytes - 1] != 0)
		RAISE(BAD_DECRYPT);
	else if (room < in_bytes - TAG)
		RAISE(TOO_SMALL);
	else
		return *out_bytes = in_bytes - TAG, 1;
	return 0;
}

/* The content, its type, `padding` zeros and room for the tag; returns the bytes without it. */
static size_t fill(uint8_t *buffer, const char *content, int type, size_t padding)
{
	size_t bytes = strlen(content);

	memset(buffer, 0, 4096);
	memcpy(buffer, content, bytes);
	buffer[bytes] = type;
	return bytes + 1 + padding;
}

static void head13(uint8_t *head, size_t bytes)
{
	memcpy(head, (uint8_t[]){APPLICATION_DATA, 3, 3, bytes >> 8, bytes}, 5);
}

static void head12(uint8_t *head, size_t bytes)
{
	memcpy(head, (uint8_t[]){0, 0, 0, 0, 0, 0, 0, 1, APPLICATION_DATA, 3, 3, bytes >> 8, bytes},
	       13);
}

static int sealing, opening;
static const uint8_t nonce[12];

static size_t seal13(uint8_t *buffer, const char *content, int type)
{
	size_t bytes = fill(buffer, content, type, 0);
	uint8_t head[5];

	head13(head, bytes + TAG);
	seal(&sealing, buffer, &bytes, 4096, nonce, sizeof(nonce), buffer, bytes, head,
	     sizeof(head));
	return bytes;
}

static void seal12(uint8_t *buffer, const char *content)
{
	size_t bytes = fill(buffer, content, 0, 0) - 1, tag_bytes = 0;
	uint8_t head[13], tag[TAG];

	head12(head, bytes);
	seal_scatter(&sealing, buffer, tag, &tag_bytes, TAG, nonce, sizeof(nonce), buffer, bytes,
		     NULL, 0, head, sizeof(head));
}

/* `broken`: the tag does not fit. */
static void open13(uint8_t *buffer, const char *content, int type, size_t padding, int broken)
{
	size_t bytes = fill(buffer, content, type, padding) + TAG;
	uint8_t head[5];

	buffer[bytes - 1] = broken;
	head13(head, bytes);
	open_sealed(&opening, buffer, &bytes, 4096, nonce, sizeof(nonce), buffer, bytes, head,
		    sizeof(head));
}

static void open12(uint8_t *buffer, const char *content)
{
	size_t bytes = fill(buffer, content, 0, 0) - 1;
	uint8_t head[13];

	head12(head, bytes);
	bytes += TAG;
	open_sealed(&opening, buffer, &bytes, 4096, nonce, sizeof(nonce), buffer, bytes, head,
		    sizeof(head));
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
	int socket_ = socket(AF_INET, SOCK_STREAM, 0);
	static uint8_t buffer[4096];
	size_t bytes;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(socket_, (struct sockaddr *)&address, sizeof(address)))
		return 1;
	puts("ready");
	fflush(stdout);
	getchar();
	seal13(buffer, "handshake ", HANDSHAKE);
	bytes = seal13(buffer, "question ", APPLICATION_DATA);
	if (send(socket_, buffer, bytes + 5, 0) <= 0 ||
	    recv(socket_, buffer, sizeof(buffer), 0) <= 0)
		return 1;
	open13(buffer, "ticket ", HANDSHAKE, 0, 0);
	open13(buffer, "answer ", APPLICATION_DATA, 2, 0);
	open13(buffer, "broken ", APPLICATION_DATA, 0, 1);
	seal12(buffer, "more ");
	open12(buffer, "enough ");
	/* A file that is encrypted, with a head of its own. */
	bytes = fill(buffer, "secret ", APPLICATION_DATA, 0);
	seal(&sealing, buffer, &bytes, 4096, nonce, sizeof(nonce), buffer, bytes,
	     (const uint8_t *)"file1", 5);
	return sources[argc % 1] == NULL;
}
