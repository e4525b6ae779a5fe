/* mount ROOT CMD...: a mount namespace with ROOT as its root and a fresh proc: what mkbox exec does, without any check. */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
    if (argc < 3 || unshare(CLONE_NEWNS) || mount(0, "/", 0, MS_REC | MS_SLAVE, 0) ||
        mount(argv[1], argv[1], 0, MS_BIND | MS_REC, 0) || chdir(argv[1]) ||
        mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0) || syscall(SYS_pivot_root, ".", ".") ||
        umount2(".", MNT_DETACH) || chdir("/"))
        return 1;
    return execv(argv[2], argv + 2);
}
