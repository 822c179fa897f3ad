/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of system calls as events have them: those of x86-64, whatever machine this is.
 * Source: arch/x86/entry/syscalls/syscall_64.tbl of Linux.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <asm/unistd.h>

/* Calls that take descriptors, memory, processes or space; 0 (read) stands for others. */
static inline uint32_t number_on_x86(uint32_t number)
{
#ifdef __x86_64__
	return number;
#else
	static const uint32_t numbers[][2] = {
		{__NR_write, 1},       {__NR_mmap, 9},
		{__NR_mprotect, 10},   {__NR_brk, 12},
		{__NR_pwrite64, 18},   {__NR_writev, 20},
		{__NR_mremap, 25},     {__NR_dup, 32},
		{__NR_socket, 41},     {__NR_accept, 43},
		{__NR_socketpair, 53}, {__NR_clone, 56},
		{__NR_fcntl, 72},      {__NR_ftruncate, 77},
		{__NR_openat, 257},    {__NR_mkdirat, 258},
		{__NR_fallocate, 285}, {__NR_accept4, 288},
		{__NR_eventfd2, 290},  {__NR_dup3, 292},
		{__NR_pipe2, 293},     {__NR_epoll_create1, 291},
		{__NR_clone3, 435},    {__NR_openat2, 437},
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i][0] == number)
			return numbers[i][1];
	return 0;
#endif
}
