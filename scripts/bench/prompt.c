/*
 * How long a person waits for a prompt, for scripts/bench.sh.
 *
 *   prompt RUNS TEXT NAME COMMAND [NAME COMMAND]...
 *
 * Starts each COMMAND (words, no quotes) at a terminal of its own until TEXT is shown there, one after the other and RUNS times,
 * and prints for each its median and least time in milliseconds, and the ratio to the first.
 */
#define _GNU_SOURCE
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void must(int is_true, const char *what)
{
	if (is_true)
		return;
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static int compare(const void *one, const void *other)
{
	double a = *(const double *)one, b = *(const double *)other;

	return (a > b) - (a < b);
}

/* Milliseconds from the fork to the last letter of text. */
static double wait_for(const char *command, const char *text)
{
	char *words = strdup(command), *argv[64], seen[8192];
	size_t length = 0;
	int screen, count = 0;
	double begin;
	pid_t child;

	must(words != NULL, "strdup");
	for (char *word = strtok(words, " "); word && count < 63; word = strtok(NULL, " "))
		argv[count++] = word;
	argv[count] = NULL;
	begin = now();
	child = forkpty(&screen, NULL, NULL, NULL);
	must(child >= 0, "forkpty");
	if (child == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	do {
		ssize_t got = read(screen, seen + length, sizeof seen - 1 - length);

		if (got <= 0) {
			seen[length] = '\0';
			fprintf(stderr, "prompt: %s: ended, and said: %s\n", command, seen);
			exit(1);
		}
		length += got;
		seen[length] = '\0';
	} while (!strstr(seen, text) && length < sizeof seen - 1);
	begin = now() - begin;
	/* End of file at an empty line ends the shell. */
	must(write(screen, "\4", 1) == 1, "write");
	while (read(screen, seen, sizeof seen) > 0)
		;
	waitpid(child, NULL, 0);
	close(screen);
	free(words);
	return begin;
}

int main(int argc, char **argv)
{
	int runs, kinds = (argc - 3) / 2;
	double *times, first = 0;

	if (argc < 5 || argc % 2 == 0 || (runs = atoi(argv[1])) < 1) {
		fprintf(stderr, "usage: prompt RUNS TEXT NAME COMMAND [NAME COMMAND]...\n");
		return 2;
	}
	times = calloc((size_t)kinds * runs, sizeof *times);
	must(times != NULL, "calloc");
	/* In turns, so that what else the machine does is in all of them; the first is for the caches. */
	for (int run = -1; run < runs; run++)
		for (int kind = 0; kind < kinds; kind++) {
			double time = wait_for(argv[4 + 2 * kind], argv[2]);

			if (run >= 0)
				times[kind * runs + run] = time;
		}
	for (int kind = 0; kind < kinds; kind++) {
		double *all = times + kind * runs;

		qsort(all, runs, sizeof *all, compare);
		if (kind == 0)
			first = all[runs / 2];
		printf("  %-44s %10.3f %10.3f %8.2f\n", argv[3 + 2 * kind], all[runs / 2], all[0], all[runs / 2] / first);
	}
	return 0;
}
