/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A path from its dentry upwards, across mounts, as far as the root of the process. */
#pragma once

#include "../process.h"

#define MAX_PATH_STEPS 64
#define MAX_NAME_BYTES 256

/* `area->complete` stays 0 when the path is deeper or longer than there is room. */
static __noinline int collect_path(struct path_area *area, __u64 vfsmount_at, __u64 dentry_at)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct dentry *root = BPF_CORE_READ(task, fs, root.dentry), *dentry = (void *)dentry_at;
	struct vfsmount *root_mnt = BPF_CORE_READ(task, fs, root.mnt), *mnt = (void *)vfsmount_at;
	__u32 used = 0, components = 0;

	area->bytes = 0;
	area->components = 0;
	area->complete = 0;
	for (int i = 0; i < MAX_PATH_STEPS; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		struct mount *mount, *above;
		long length;

		if (!dentry || !mnt)
			return -1;
		if (dentry == root && mnt == root_mnt)
			goto complete;
		if (dentry == parent || dentry == BPF_CORE_READ(mnt, mnt_root)) {
			mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
			above = BPF_CORE_READ(mount, mnt_parent);
			if (above == mount)
				goto complete;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mnt = (void *)above + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		if (used > PATH_AREA_BYTES - MAX_NAME_BYTES)
			return -1;
		length = bpf_probe_read_kernel_str(area->reversed + used, MAX_NAME_BYTES,
						   BPF_CORE_READ(dentry, d_name.name));
		if (length <= 0 || length > MAX_NAME_BYTES)
			return -1;
		used += length;
		components++;
		dentry = parent;
	}
	return -1;
complete:
	area->bytes = used;
	area->components = components;
	area->complete = 1;
	return 0;
}
