/* What the pause of Kubernetes does, with a C library: the same signals, a handler that reaps, pause(2). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int number) { psignal(number, "ends"); exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, NULL, WNOHANG) > 0) { } }
int main(int argc, char **argv) {
    struct sigaction action;
    if (argc > 1 && strcmp(argv[1], "-v") == 0) return puts("pause") < 0;
    memset(&action, 0, sizeof action);
    action.sa_handler = end;
    if (sigaction(SIGTERM, &action, NULL) || sigaction(SIGINT, &action, NULL)) return 1;
    action.sa_handler = reap;
    if (sigaction(SIGCHLD, &action, NULL)) return 1;
    for (;;) pause();
}
