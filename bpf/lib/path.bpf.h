/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A path from its dentry upwards, across mounts, as far as the root of the process. */
#pragma once

#include "../path.h"
#include "ring.bpf.h"

#define MAX_PATH_STEPS 64
#define MAX_NAME_BYTES 256

struct path_walk {
	struct path_area *area;
	struct dentry *dentry, *root;
	struct vfsmount *mnt, *root_mnt;
	__u32 used;
	__u32 components;
	__u32 complete;
};

/* One dentry, or one mount point, upwards; returns 1 to end the walk. */
static long walk_up(__u32 step, struct path_walk *walk)
{
	struct dentry *dentry = walk->dentry, *parent = BPF_CORE_READ(dentry, d_parent);
	struct vfsmount *mnt = walk->mnt;
	struct mount *mount, *above;
	__u64 used = walk->used;
	long length;

	if (dentry == walk->root && mnt == walk->root_mnt)
		goto complete;
	if (dentry == parent || dentry == BPF_CORE_READ(mnt, mnt_root)) {
		mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
		above = BPF_CORE_READ(mount, mnt_parent);
		if (above == mount)
			goto complete;
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		walk->mnt = (void *)above + bpf_core_field_offset(struct mount, mnt);
		return !walk->dentry;
	}
	if (used > PATH_AREA_BYTES - MAX_NAME_BYTES)
		return 1;
	CLAMP(used, PATH_AREA_BYTES - MAX_NAME_BYTES);
	length = bpf_probe_read_kernel_str(walk->area->reversed + used, MAX_NAME_BYTES,
					   BPF_CORE_READ(dentry, d_name.name));
	if (length <= 0)
		return 1;
	walk->used = used + length;
	walk->components++;
	walk->dentry = parent;
	return !parent;
complete:
	walk->complete = 1;
	return 1;
}

/* `area->complete` stays 0 when the path is deeper or longer than there is room. */
static __always_inline void collect_path(struct path_area *area, struct vfsmount *mnt,
					 struct dentry *dentry)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct path_walk walk = {
		.area = area,
		.dentry = dentry,
		.mnt = mnt,
		.root = BPF_CORE_READ(task, fs, root.dentry),
		.root_mnt = BPF_CORE_READ(task, fs, root.mnt),
	};

	bpf_loop(MAX_PATH_STEPS, walk_up, &walk, 0);
	area->bytes = walk.used;
	area->components = walk.components;
	area->complete = walk.complete;
}
