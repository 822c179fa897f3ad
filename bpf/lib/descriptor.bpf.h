/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a file descriptor of the current process stands for. */
#pragma once

#include "path.bpf.h"

/* The open file behind `fd`; NULL if there is none. */
static __always_inline struct file *file_of_descriptor(__s32 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files, *file = NULL;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	files = BPF_CORE_READ(table, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), files + fd))
		return NULL;
	return file;
}

/*
 * The path of the file or directory behind `fd`, of the working directory if it is AT_FDCWD.
 * `area->complete` is 0 if there is none.
 */
static __noinline int collect_descriptor_path(struct path_area *area, __s32 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *file;

	if (!area)
		return 0;
	area->complete = 0;
	if (fd == AT_FDCWD) {
		collect_path(area, BPF_CORE_READ(task, fs, pwd.mnt),
			     BPF_CORE_READ(task, fs, pwd.dentry));
		return 0;
	}
	file = file_of_descriptor(fd);
	if (file)
		collect_path(area, BPF_CORE_READ(file, f_path.mnt),
			     BPF_CORE_READ(file, f_path.dentry));
	return 0;
}
