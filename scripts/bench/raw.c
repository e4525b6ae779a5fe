/*
 * What the kernel itself takes, for scripts/bench.sh: the least system calls that do the job, without any option or check.
 *
 *   raw clone CMD...        new mount, pid, ipc, uts and net namespaces, private mounts
 *   raw join PID CMD...     the net, ipc and uts namespaces of a process
 *   raw group NAME CMD...   a group with limits of memory, cpu and pids, in the five hierarchies of a pod (v1), made where it is missing
 *   raw pivot ROOT CMD...   a mount namespace with ROOT as its root and a fresh proc, in a pid namespace
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* clone3(2); linux/sched.h is not everywhere */
struct arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

static void must(int is_true)
{
	if (!is_true)
		_exit(125);
}

static void as_child(uint64_t flags)
{
	struct arguments arguments = { .flags = flags, .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
	int status;

	must(pid >= 0);
	if (pid == 0)
		return;
	must(waitpid(pid, &status, 0) == pid);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* Writes text into a file of the group that argv names, in the hierarchy of a controller. */
static void put(const char *controller, const char *group, const char *file, const char *text)
{
	char path[512];
	int fd;

	snprintf(path, sizeof path, "/sys/fs/cgroup/%s/%s", controller, group);
	mkdir(path, 0755);
	snprintf(path, sizeof path, "/sys/fs/cgroup/%s/%s/%s", controller, group, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && !close(fd));
}

int main(int argc, char **argv)
{
	must(argc > 2);
	if (!strcmp(argv[1], "clone")) {
		as_child(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET);
		must(!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
		argv += 2;
	} else if (!strcmp(argv[1], "join")) {
		int process = syscall(SYS_pidfd_open, atoi(argv[2]), 0);

		must(!setns(process, CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS));
		argv += 3;
	} else if (!strcmp(argv[1], "group")) {
		put("memory", argv[2], "memory.limit_in_bytes", "33554432");
		put("cpu", argv[2], "cpu.cfs_quota_us", "50000");
		put("pids", argv[2], "pids.max", "50");
		put("memory", argv[2], "tasks", "0");
		put("cpu", argv[2], "tasks", "0");
		put("pids", argv[2], "tasks", "0");
		put("cpuacct", argv[2], "tasks", "0");
		put("freezer", argv[2], "tasks", "0");
		argv += 3;
	} else {
		as_child(CLONE_NEWNS | CLONE_NEWPID);
		must(!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
		must(!mount(argv[2], argv[2], NULL, MS_BIND | MS_REC, NULL));
		must(!chdir(argv[2]));
		must(!mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
		must(!syscall(SYS_pivot_root, ".", "."));
		must(!umount2(".", MNT_DETACH));
		argv += 3;
	}
	execvp(argv[0], argv);
	_exit(127);
}
