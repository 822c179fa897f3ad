/* SPDX-License-Identifier: Apache-2.0 */
#include "layout.h"

#include <stddef.h>

#include "file.h"
#include "gpu.h"
#include "net.h"
#include "process.h"
#include "signals.h"
#include "tls.h"
#include "udp.h"

struct field {
	const char *structure, *name;
	size_t offset;
};

#define SIZE(type)	   {#type, "", sizeof(struct type)}
#define FIELD(type, field) {#type, #field, offsetof(struct type, field)}

static const struct field fields[] = {
	SIZE(record_header),
	FIELD(record_header, sequence),
	FIELD(record_header, boot_ns),
	FIELD(record_header, session),
	FIELD(record_header, cgroup),
	FIELD(record_header, pid),
	FIELD(record_header, tid),
	FIELD(record_header, cpu),
	FIELD(record_header, type),
	SIZE(tls_record),
	FIELD(tls_record, connection),
	FIELD(tls_record, lost_bytes),
	FIELD(tls_record, length),
	FIELD(tls_record, source),
	FIELD(tls_record, payload),
	SIZE(connection_opened),
	FIELD(connection_opened, connection),
	FIELD(connection_opened, peer_address),
	FIELD(connection_opened, peer_port),
	FIELD(connection_opened, family),
	SIZE(connection_closed),
	FIELD(connection_closed, connection),
	FIELD(connection_closed, lost_read_bytes),
	FIELD(connection_closed, lost_written_bytes),
	SIZE(process_forked),
	FIELD(process_forked, parent_pid),
	FIELD(process_forked, start_boot_ns),
	SIZE(path_area),
	FIELD(path_area, bytes),
	FIELD(path_area, components),
	FIELD(path_area, complete),
	FIELD(path_area, reversed),
	SIZE(process_executed),
	FIELD(process_executed, parent_pid),
	FIELD(process_executed, uid),
	FIELD(process_executed, start_boot_ns),
	FIELD(process_executed, comm),
	FIELD(process_executed, familiar),
	FIELD(process_executed, exe),
	FIELD(process_executed, cwd),
	FIELD(process_executed, argv_bytes),
	FIELD(process_executed, argv_total_bytes),
	FIELD(process_executed, argv),
	SIZE(process_networked),
	SIZE(process_exited),
	FIELD(process_exited, exit_code),
	FIELD(process_exited, exit_signal),
	FIELD(process_exited, duration_ns),
	SIZE(file_opened),
	FIELD(file_opened, flags),
	FIELD(file_opened, result),
	FIELD(file_opened, path_bytes),
	FIELD(file_opened, directory_at),
	FIELD(file_opened, data),
	SIZE(file_closed),
	FIELD(file_closed, read_bytes),
	FIELD(file_closed, written_bytes),
	FIELD(file_closed, opened_boot_ns),
	FIELD(file_closed, reads),
	FIELD(file_closed, writes),
	FIELD(file_closed, fd),
	FIELD(file_closed, still_open),
	FIELD(file_closed, mapped_for_writing),
	FIELD(file_closed, path),
	SIZE(file_changed),
	FIELD(file_changed, length_bytes),
	FIELD(file_changed, operation),
	FIELD(file_changed, result),
	FIELD(file_changed, mode),
	FIELD(file_changed, uid),
	FIELD(file_changed, gid),
	FIELD(file_changed, path_bytes),
	FIELD(file_changed, new_path_bytes),
	FIELD(file_changed, directory_at),
	FIELD(file_changed, new_path_at),
	FIELD(file_changed, new_directory_at),
	FIELD(file_changed, data),
	SIZE(net_record),
	FIELD(net_record, socket),
	FIELD(net_record, duration_ns),
	FIELD(net_record, sent_bytes),
	FIELD(net_record, received_bytes),
	FIELD(net_record, peer_address),
	FIELD(net_record, local_address),
	FIELD(net_record, peer_port),
	FIELD(net_record, local_port),
	FIELD(net_record, family),
	FIELD(net_record, protocol),
	FIELD(net_record, error),
	FIELD(net_record, accepted),
	FIELD(net_record, retransmitted_bytes),
	FIELD(net_record, round_trip_us),
	FIELD(net_record, round_trip_deviation_us),
	FIELD(net_record, least_round_trip_us),
	FIELD(net_record, congestion_window),
	FIELD(net_record, sent_segments),
	FIELD(net_record, retransmitted_segments),
	FIELD(net_record, lost_segments),
	FIELD(net_record, quic_version),
	FIELD(net_record, sent_datagrams),
	FIELD(net_record, received_datagrams),
	FIELD(net_record, several_peers),
	SIZE(dns_answered),
	FIELD(dns_answered, length),
	FIELD(dns_answered, message),
	SIZE(signal_sent),
	FIELD(signal_sent, sender_pid),
	FIELD(signal_sent, target_pid),
	FIELD(signal_sent, signal),
	FIELD(signal_sent, result),
	SIZE(limit_hit),
	FIELD(limit_hit, call),
	FIELD(limit_hit, error),
	FIELD(limit_hit, count),
	SIZE(oom_killed),
	SIZE(unseen_used),
	FIELD(unseen_used, what),
	SIZE(gpu_used),
	FIELD(gpu_used, launches),
	FIELD(gpu_used, copies),
	FIELD(gpu_used, copied_bytes),
	FIELD(gpu_used, allocations),
	FIELD(gpu_used, allocated_bytes),
	FIELD(gpu_used, frees),
	FIELD(gpu_used, synchronisations),
	FIELD(gpu_used, synchronised_ns),
	FIELD(gpu_used, runtime),
	SIZE(class_counters),
	FIELD(class_counters, submitted),
	FIELD(class_counters, submitted_bytes),
	FIELD(class_counters, ring_full),
	FIELD(class_counters, ring_full_bytes),
	FIELD(class_counters, read_faults),
	FIELD(class_counters, read_fault_bytes),
	FIELD(class_counters, truncated),
	FIELD(class_counters, truncated_bytes),
	FIELD(class_counters, map_full),
	FIELD(class_counters, filtered),
	FIELD(class_counters, filtered_bytes),
	SIZE(control_values),
	FIELD(control_values, enabled),
	FIELD(control_values, discover),
	FIELD(control_values, generation),
	FIELD(control_values, limited),
	FIELD(control_values, path_filter),
	FIELD(control_values, excludes_programs),
	FIELD(control_values, excludes_peers),
	FIELD(control_values, plain_sockets),
	FIELD(control_values, datagrams),
	SIZE(load_settings),
	FIELD(load_settings, wakeup_bytes),
	FIELD(load_settings, max_payload_bytes),
	FIELD(load_settings, max_argv_bytes),
	FIELD(load_settings, max_discovered_argv_bytes),
	FIELD(load_settings, quiet_ns),
};

static int add_field(PyObject *layout, const struct field *field)
{
	PyObject *structure = PyDict_GetItemString(layout, field->structure), *offset;
	int failed;

	if (!structure) {
		structure = PyDict_New();
		failed = !structure || PyDict_SetItemString(layout, field->structure, structure);
		Py_XDECREF(structure);
		if (failed)
			return -1;
	}
	offset = PyLong_FromSize_t(field->offset);
	failed = !offset || PyDict_SetItemString(structure, field->name, offset);
	Py_XDECREF(offset);
	return failed ? -1 : 0;
}

PyObject *layout_of_records(void)
{
	PyObject *layout = PyDict_New();

	for (size_t i = 0; layout && i < sizeof(fields) / sizeof(fields[0]); i++)
		if (add_field(layout, &fields[i]))
			Py_CLEAR(layout);
	return layout;
}
