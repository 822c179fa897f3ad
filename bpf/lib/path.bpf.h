/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A path from its dentry upwards, across mounts, as far as the root of the process. */
#pragma once

#include "../path.h"
#include "ring.bpf.h"

#define MAX_PATH_STEPS 64
#define MAX_NAME_BYTES 256

/* Where a walk upwards is, and where it ends. */
struct path_position {
	struct dentry *dentry, *root;
	struct vfsmount *mnt, *root_mnt;
};

enum climbed {
	CLIMBED_NAME,
	CLIMBED_MOUNT,
	CLIMBED_TO_ROOT,
	CLIMBED_NOWHERE,
};

/* One dentry, whose name counts, or one mount point upwards. */
static __always_inline enum climbed climb(struct path_position *at, struct dentry **named)
{
	struct dentry *dentry = at->dentry, *parent = BPF_CORE_READ(dentry, d_parent);
	struct vfsmount *mnt = at->mnt;
	struct mount *mount, *above;

	if (dentry == at->root && mnt == at->root_mnt)
		return CLIMBED_TO_ROOT;
	if (dentry == parent || dentry == BPF_CORE_READ(mnt, mnt_root)) {
		mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
		above = BPF_CORE_READ(mount, mnt_parent);
		if (above == mount)
			return CLIMBED_TO_ROOT;
		at->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		at->mnt = (void *)above + bpf_core_field_offset(struct mount, mnt);
		return at->dentry ? CLIMBED_MOUNT : CLIMBED_NOWHERE;
	}
	*named = dentry;
	at->dentry = parent;
	return parent ? CLIMBED_NAME : CLIMBED_NOWHERE;
}

static __always_inline void begin_climb(struct path_position *at, struct vfsmount *mnt,
					struct dentry *dentry)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	at->dentry = dentry;
	at->mnt = mnt;
	at->root = BPF_CORE_READ(task, fs, root.dentry);
	at->root_mnt = BPF_CORE_READ(task, fs, root.mnt);
}

struct path_walk {
	struct path_area *area;
	struct path_position at;
};

/* Returns 1 to end the walk. */
static long walk_up(__u32 step, struct path_walk *walk)
{
	struct dentry *named = NULL;
	enum climbed climbed = climb(&walk->at, &named);
	struct path_area *area = walk->area;
	__u64 used = area->bytes;
	long length;

	if (climbed != CLIMBED_NAME) {
		area->complete = climbed == CLIMBED_TO_ROOT;
		return climbed != CLIMBED_MOUNT;
	}
	if (used > PATH_AREA_BYTES - MAX_NAME_BYTES)
		return 1;
	CLAMP(used, PATH_AREA_BYTES - MAX_NAME_BYTES);
	length = bpf_probe_read_kernel_str(area->reversed + used, MAX_NAME_BYTES,
					   BPF_CORE_READ(named, d_name.name));
	if (length <= 0)
		return 1;
	area->bytes = used + length;
	area->components++;
	return 0;
}

/* `area->complete` stays 0 when the path is deeper or longer than there is room. */
static __always_inline void collect_path(struct path_area *area, struct vfsmount *mnt,
					 struct dentry *dentry)
{
	struct path_walk walk = {.area = area};

	begin_climb(&walk.at, mnt, dentry);
	area->bytes = 0;
	area->components = 0;
	area->complete = 0;
	bpf_loop(MAX_PATH_STEPS, walk_up, &walk, 0);
}
