/* SPDX-License-Identifier: Apache-2.0 */
/* Forks 23 children that execute /bin/true, ending with the status of each 0. Waits for a line
 * first. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 23

int main(void)
{
	char line[16];

	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (int i = 0; i < CHILDREN; i++) {
		pid_t child = fork();
		int status;

		if (child == 0) {
			execl("/bin/true", "true", "argument", (char *)NULL);
			_exit(127);
		}
		if (child < 0 || waitpid(child, &status, 0) != child || status)
			return 2;
	}
	return 7;
}
