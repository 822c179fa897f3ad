/* SPDX-License-Identifier: Apache-2.0 */
/* In the directory given: 23 calls on files, numbered as test_kernel_files.py expects them. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int call;

static long must(long result)
{
	call++;
	if (result < 0) {
		fprintf(stderr, "call %d failed\n", call);
		exit(call);
	}
	return result;
}

static void must_not(long result)
{
	call++;
	if (result >= 0)
		exit(call);
}

int main(int count, char **arguments)
{
	struct open_how how = {.flags = O_CREAT | O_RDWR, .mode = 0600};
	char line[16], absolute[4096], *mapped;
	int directory, fd, copy;

	puts("ready");
	fflush(stdout);
	if (count != 2 || !fgets(line, sizeof(line), stdin))
		return 100;
	snprintf(absolute, sizeof(absolute), "%s/absolute", arguments[1]);
	must(chdir(arguments[1]));				/* 1 */
	must(mkdir("made", 0750));				/* 2 */
	directory = must(open("made", O_RDONLY | O_DIRECTORY)); /* 3 */
	must(mkdirat(directory, "inner", 0700));		/* 4 */
	fd = must(creat("one", 0600));				/* 5 */
	must(write(fd, "0123456789", 10));			/* 6 */
	copy = must(dup2(fd, 77));				/* 7 */
	must(write(copy, "abc", 3));				/* 8 */
	must(fchmod(fd, 0640));					/* 9 */
	must(ftruncate(fd, 4));					/* 10 */
	close(copy);
	close(fd);
	must(rename("one", "two"));				    /* 11 */
	must(renameat2(AT_FDCWD, "two", directory, "three", 0));    /* 12 */
	must(linkat(directory, "three", AT_FDCWD, "linked", 0));    /* 13 */
	must(symlink("made/three", "pointer"));			    /* 14 */
	must(chmod("linked", 0600));				    /* 15 */
	must(chown("linked", 12, -1));				    /* 16 */
	must(truncate(absolute + 0 * creat(absolute, 0600), 4096)); /* 17 and an opening */
	fd = must(syscall(SYS_openat2, directory, "mapped", &how, sizeof(how))); /* 18 */
	if (ftruncate(fd, 4096))
		return 101;
	mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(mapped == MAP_FAILED ? -1 : 0); /* 19 */
	mapped[0] = 1;
	close(fd);
	must_not(open("missing/file", O_RDONLY));	  /* 20 */
	must_not(rmdir("made"));			  /* 21 */
	must(unlinkat(directory, "inner", AT_REMOVEDIR)); /* 22 */
	must(unlink(absolute));				  /* 23 */
	return 0;
}
