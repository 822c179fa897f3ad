/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Plaintext of TLS records where they are sealed and opened: of rustls above AWS-LC, whose own
 * functions have no stable form. The functions of the AEAD are C, and what they are given as
 * additional data is the head of a TLS record, which shows that it is one (RFC 8446, 5.2; RFC 5246,
 * 6.2.3.3). Their arguments are on the stack of x86-64; elsewhere nobody attaches this.
 *
 * A connection has one context for each direction. The one that seals is the connection; the one
 * that opens is found to belong to it by the socket that its thread has just received from.
 */
#include "lib/payload.bpf.h"

#define TLS_APPLICATION_DATA 23
#define TLS_VERSION_1_2	     0x0303
#define TLS13_HEAD_BYTES     5
#define TLS12_HEAD_BYTES     13
#define AEAD_TAG_BYTES	     16
/* Zeros behind the content, which nobody has been seen to send. */
#define MAX_PADDING 64
/* A thread sends what it has sealed before it seals for another connection. */
#define SENT_WITHIN_NS 5000000000ull

/* EVP_AEAD_CTX_seal and _open: what is behind the sixth argument. */
struct aead_arguments {
	__u64 in;
	__u64 in_bytes;
	__u64 head;
	__u64 head_bytes;
};

/* EVP_AEAD_CTX_seal_scatter: the same. */
struct scatter_arguments {
	__u64 nonce_bytes;
	__u64 in;
	__u64 in_bytes;
	__u64 extra_in;
	__u64 extra_bytes;
	__u64 head;
	__u64 head_bytes;
};

struct aead_call {
	__u64 context;
	__u64 out;
	__u64 length_at;
	__u64 head_bytes;
};

/* Calls that open a record, by thread; those of threads that died are overwritten. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct aead_call);
} MAP(aead_calls);

/* A context that opens records to the connection that they are of. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct connection_key);
	__type(value, struct bound_socket);
} MAP(aead_readers);

/* And the other way: a connection by its number to the one context that opens its records. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u64);
} MAP(aead_contexts);

static __always_inline __u32 big_endian_at(const __u8 *bytes)
{
	return (__u32)bytes[0] << 8 | bytes[1];
}

/* Is this the head of a record of application data with `bytes` of content? In TLS 1.3 content is
 * what is sealed, and its type is in it. */
static __always_inline bool is_record(__u64 at, __u64 head_bytes, __u64 bytes)
{
	__u8 head[TLS12_HEAD_BYTES] = {};

	if (head_bytes == TLS13_HEAD_BYTES) {
		if (bpf_probe_read_user(head, TLS13_HEAD_BYTES, (void *)at))
			return false;
		return head[0] == TLS_APPLICATION_DATA &&
		       big_endian_at(head + 1) == TLS_VERSION_1_2 &&
		       big_endian_at(head + 3) == bytes + AEAD_TAG_BYTES;
	}
	/* The number of the record comes first. */
	if (head_bytes != TLS12_HEAD_BYTES || bpf_probe_read_user(head, sizeof(head), (void *)at))
		return false;
	return head[8] == TLS_APPLICATION_DATA && big_endian_at(head + 9) == TLS_VERSION_1_2 &&
	       big_endian_at(head + 11) == bytes;
}

/* How much of `bytes` at `at` is application data: in TLS 1.3 the type follows, and zeros. */
static __always_inline __u64 content_bytes(__u64 at, __u64 bytes, __u64 head_bytes)
{
	__u8 type = 0;

	if (head_bytes == TLS12_HEAD_BYTES)
		return bytes;
	for (int i = 0; i < MAX_PADDING && bytes; i++) {
		bytes--;
		if (bpf_probe_read_user(&type, sizeof(type), (void *)(at + bytes))) {
			COUNT(CLASS_TLS, read_faults, 1);
			return 0;
		}
		if (type)
			return type == TLS_APPLICATION_DATA ? bytes : 0;
	}
	COUNT(CLASS_TLS, truncated, 1);
	COUNT(CLASS_TLS, truncated_bytes, bytes);
	return 0;
}

static __always_inline bool is_watched(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (switched_off() || !(session_of(tgid) || is_candidate(tgid)))
		return false;
	mark_sealer(tgid);
	return true;
}

SEC("uprobe")
int tls_seal(struct pt_regs *ctx)
{
	__u64 at = PT_REGS_SP(ctx) + RETURN_ADDRESS_BYTES, context = PT_REGS_PARM1(ctx), bytes;
	struct scatter_arguments scattered = {};
	struct aead_arguments given = {};
	struct connection *connection;
	struct tls_thread *thread;

	if (!is_watched())
		return 0;
	if (bpf_get_attach_cookie(ctx) == TLS_HOOK_AEAD_SEAL_SCATTER) {
		if (bpf_probe_read_user(&scattered, sizeof(scattered), (void *)at) ||
		    scattered.extra_bytes)
			return 0;
		given.in = scattered.in;
		given.in_bytes = scattered.in_bytes;
		given.head = scattered.head;
		given.head_bytes = scattered.head_bytes;
	} else if (bpf_probe_read_user(&given, sizeof(given), (void *)at)) {
		return 0;
	}
	if (!is_record(given.head, given.head_bytes, given.in_bytes))
		return 0;
	bytes = content_bytes(given.in, given.in_bytes, given.head_bytes);
	if (!bytes)
		return 0;
	connection = connection_of(context, true);
	if (!connection || is_muted(connection))
		return 0;
	if (!connection->socket) {
		thread = bpf_task_storage_get(&tls_threads, bpf_get_current_task_btf(), NULL,
					      BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (thread)
			note_pending(thread, context, bytes, SENT_WITHIN_NS);
		else
			COUNT(CLASS_TLS, map_full, 1);
	}
	emit_plaintext(connection, given.in, bytes, true);
	return 0;
}

SEC("uprobe")
int tls_open(struct pt_regs *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct aead_arguments given = {};
	struct aead_call call = {
		.context = PT_REGS_PARM1(ctx),
		.out = PT_REGS_PARM2(ctx),
		.length_at = PT_REGS_PARM3(ctx),
	};

	if (!is_watched())
		return 0;
	if (bpf_probe_read_user(&given, sizeof(given),
				(void *)(PT_REGS_SP(ctx) + RETURN_ADDRESS_BYTES)) ||
	    given.in_bytes < AEAD_TAG_BYTES ||
	    !is_record(given.head, given.head_bytes, given.in_bytes - AEAD_TAG_BYTES))
		return 0;
	call.head_bytes = given.head_bytes;
	bpf_map_update_elem(&aead_calls, &thread, &call, BPF_ANY);
	return 0;
}

/* The connection whose socket the current thread has received from last; NULL if none is known. It
 * opens what it has received before it receives from another one. */
static __always_inline struct bound_socket *received_last(__u32 tgid)
{
	struct tls_thread *thread =
		bpf_task_storage_get(&tls_threads, bpf_get_current_task_btf(), NULL, 0);
	struct bound_socket *bound;
	__u64 socket;

	if (!thread || !thread->received_ns)
		return NULL;
	socket = thread->received_from.socket;
	bound = bpf_map_lookup_elem(&bound_sockets, &socket);
	return bound && bound->key.tgid == tgid ? bound : NULL;
}

/* The connection that the records which `key` opens are known to be of; NULL if it is not known. */
static __noinline struct connection *known_reader(struct connection_key *key)
{
	struct bound_socket *bound = bpf_map_lookup_elem(&aead_readers, key);
	struct connection *connection;

	if (!bound)
		return NULL;
	connection = bpf_map_lookup_elem(&connections, &bound->key);
	if (connection && connection->id == bound->id)
		return connection;
	bpf_map_delete_elem(&aead_readers, key);
	return NULL;
}

/* `context` opens the records of the connection `bound`, if no other context does. */
static __always_inline void learn_reader(struct connection_key *key, struct bound_socket *bound)
{
	__u64 id = bound->id, context = key->ssl, *reader;

	bpf_map_update_elem(&aead_contexts, &id, &context, BPF_NOEXIST);
	reader = bpf_map_lookup_elem(&aead_contexts, &id);
	if (reader && *reader == context)
		bpf_map_update_elem(&aead_readers, key, bound, BPF_ANY);
}

/*
 * The connection that the records which `context` opens are of. Until that is known, and for a
 * second context of one connection (TLS inside of TLS), it is one of its own, which only reads.
 * What was read so is missing in the connection that it then turns out to be of.
 */
static __always_inline struct connection *opened_by(__u64 context, __u64 bytes)
{
	struct connection_key key = {.tgid = bpf_get_current_pid_tgid() >> 32, .ssl = context};
	struct bound_socket *bound = received_last(key.tgid);
	struct connection *connection, *own;

	if (bound)
		learn_reader(&key, bound);
	connection = known_reader(&key);
	own = connection ? bpf_map_lookup_elem(&connections, &key) : connection_of(context, false);
	if (!connection) {
		if (own)
			own->unjudged_bytes += bytes;
		return own;
	}
	if (own && own != connection) {
		connection->lost_bytes[0] += own->unjudged_bytes;
		own->unjudged_bytes = 0;
	}
	return connection;
}

SEC("uretprobe")
int tls_opened(struct pt_regs *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid(), bytes = 0;
	struct connection *connection;
	struct aead_call *found, call;

	if (switched_off())
		return 0;
	found = bpf_map_lookup_elem(&aead_calls, &thread);
	if (!found)
		return 0;
	call = *found;
	bpf_map_delete_elem(&aead_calls, &thread);
	if ((__s32)PT_REGS_RC(ctx) != 1)
		return 0;
	if (bpf_probe_read_user(&bytes, sizeof(bytes), (void *)call.length_at)) {
		COUNT(CLASS_TLS, read_faults, 1);
		return 0;
	}
	bytes = content_bytes(call.out, bytes, call.head_bytes);
	if (!bytes)
		return 0;
	connection = opened_by(call.context, bytes);
	if (!connection || is_muted(connection))
		return 0;
	emit_plaintext(connection, call.out, bytes, false);
	return 0;
}
