/* What the pod foo has the kernel do, with the bare system calls in one process: groups with limits, a process that holds the
 * namespaces, eth0, and two containers in them with processes, a root and a limit of their own. The limit, not a tool.
 *
 * pod up NAME ROOT FILE     /ready of ROOT in both containers says a line on stdout; FILE gets the pids, NAME is in the groups'
 * pod down NAME FILE
 *
 * Or by itself, as what runs in the containers, whoever makes them: pod ready
 */
#define main wire_main
#include "wire.c"
#undef main
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { NAMES = 4, HIERARCHIES = 2 };
static const char *const names[NAMES] = {"", "/pause", "/app", "/sidecar"};
static const char *const limits[HIERARCHIES][NAMES] = {{"402653184", NULL, "268435456", "134217728"}, {"100", NULL, NULL, NULL}};
static const char *const files[HIERARCHIES] = {"memory/pod-%s%s/memory.limit_in_bytes", "pids/pod-%s%s/pids.max"};
static const char *const tasks[HIERARCHIES] = {"memory/pod-%s%s/tasks", "pids/pod-%s%s/tasks"};
static const char *const groups[HIERARCHIES] = {"memory/pod-%s%s", "pids/pod-%s%s"};
static const char *own_name;

struct arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

static void must(int is_true, const char *what)
{
    if (!is_true)
        die(what);
}

static void put(const char *format, int name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, format, own_name, names[name]);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && !close(fd), path);
}

static void make_groups(void)
{
    char path[128];
    for (int name = 0; name < NAMES; name++)
        for (int at = 0; at < HIERARCHIES; at++) {
            snprintf(path, sizeof path, groups[at], own_name, names[name]);
            must(!mkdir(path, 0755), path);
            if (limits[at][name])
                put(files[at], name, limits[at][name]);
        }
}

/* Into the groups by itself, which waits for nobody. */
static void join(int name)
{
    for (int at = 0; at < HIERARCHIES; at++)
        put(tasks[at], name, "0");
}

static pid_t begin_in(uint64_t flags)
{
    struct arguments arguments = {.flags = flags, .exit_signal = SIGCHLD};
    pid_t pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    must(pid >= 0, "clone3");
    return pid;
}

static pid_t hold_in(int namespace)
{
    pid_t pid = begin_in(CLONE_NEWIPC | CLONE_NEWUTS);
    if (pid)
        return pid;
    join(1);
    enter(namespace);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    execlp("pause", "pause", (char *)NULL);
    _exit(127);
}

static pid_t contain(int name, int holder, int namespace, const char *root)
{
    int ready[2];
    pid_t pid;
    must(!pipe2(ready, O_CLOEXEC), "pipe2");
    if (!begin_in(0)) {
        join(name);
        enter(namespace);
        must(!syscall(SYS_setns, holder, CLONE_NEWIPC | CLONE_NEWUTS), "setns");
        pid = begin_in(CLONE_NEWPID | CLONE_NEWNS);
        if (pid) {
            must(write(ready[1], &pid, sizeof pid) == sizeof pid, "write");
            _exit(0);
        }
        must(!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) && !mount(root, root, NULL, MS_BIND | MS_REC, NULL) && !chdir(root) &&
                 !mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) && !syscall(SYS_pivot_root, ".", ".") &&
                 !umount2(".", MNT_DETACH),
             "root");
        execl("/ready", "ready", "ready", (char *)NULL);
        _exit(127);
    }
    must(read(ready[0], &pid, sizeof pid) == sizeof pid, "read");
    return pid;
}

static void pod_up(const char *root, const char *file)
{
    int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), host = route_socket(), namespace;
    FILE *pids = fopen(file, "we");
    must(pids && !chdir("/sys/fs/cgroup"), file);
    make_groups();
    int pod = make(own, &namespace);
    pid_t pause = hold_in(namespace);
    wire(host, pod, namespace, 8);
    int holder = syscall(SYS_pidfd_open, pause, 0);
    must(holder >= 0, "pidfd_open");
    fprintf(pids, "%d\n", pause);
    for (int name = 2; name < NAMES; name++)
        fprintf(pids, "%d\n", contain(name, holder, namespace, root));
    fclose(pids);
}

static void pod_down(const char *file)
{
    struct pollfd gone[NAMES];
    char path[128];
    int pid, count = 0;
    FILE *pids = fopen(file, "re");
    must(pids && !chdir("/sys/fs/cgroup"), file);
    while (count < NAMES && fscanf(pids, "%d", &pid) == 1) {
        gone[count].fd = syscall(SYS_pidfd_open, pid, 0);
        gone[count].events = POLLIN;
        must(gone[count].fd >= 0 && !kill(pid, SIGKILL), "kill");
        count++;
    }
    for (int at = 0; at < count; at++)
        must(poll(&gone[at], 1, -1) == 1, "poll");
    for (int name = NAMES; name--;)
        for (int at = 0; at < HIERARCHIES; at++) {
            snprintf(path, sizeof path, groups[at], own_name, names[name]);
            while (rmdir(path))
                must(errno == EBUSY, path);
        }
}

int main(int count, char **words)
{
    if (count == 2 && !strcmp(words[1], "ready")) {
        must(write(1, "\n", 1) == 1, "write");
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        for (;;)
            pause();
    }
    own_name = count > 2 ? words[2] : "";
    if (count == 5 && !strcmp(words[1], "up"))
        pod_up(words[3], words[4]);
    else if (count == 4 && !strcmp(words[1], "down"))
        pod_down(words[3]);
    else
        return 2;
    return 0;
}
