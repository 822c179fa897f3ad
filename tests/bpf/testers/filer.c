/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In the directory given: writes "a" (3 times 1000 bytes) and closes it, copies it to "b" with
 * copy_file_range, fails to open "missing", and leaves "c" open with 5 bytes when it ends.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int count, char **arguments)
{
	char line[16], block[1000] = {0};
	int a, b, c;

	puts("ready");
	fflush(stdout);
	if (count != 2 || !fgets(line, sizeof(line), stdin) || chdir(arguments[1]))
		return 1;
	a = open("a", O_CREAT | O_RDWR, 0600);
	for (int i = 0; i < 3; i++)
		if (write(a, block, sizeof(block)) != sizeof(block))
			return 2;
	if (pread(a, block, 10, 0) != 10)
		return 3;
	close(a);
	a = open("a", O_RDONLY);
	b = creat("b", 0600);
	if (copy_file_range(a, NULL, b, NULL, 3000, 0) != 3000)
		return 4;
	close(a);
	close(b);
	if (open("missing", O_RDONLY) >= 0)
		return 5;
	c = open("c", O_CREAT | O_WRONLY, 0600);
	return write(c, "12345", 5) == 5 ? 0 : 6;
}
