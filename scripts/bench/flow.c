/* How much TCP carries: `flow serve PORT` takes what comes, `flow send ADDRESS PORT SECONDS` sends, and prints MB/s. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char bytes[128 << 10];

static void die(const char *what)
{
    fprintf(stderr, "flow: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* Answers each sender with how much arrived, so that what lies in buffers does not count. */
static void serve(struct sockaddr_in *at)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (void *)at, sizeof *at) < 0 || listen(fd, 8) < 0)
        die("listen");
    for (;;) {
        int one = accept(fd, NULL, NULL);
        long long all = 0;
        for (ssize_t size; (size = recv(one, bytes, sizeof bytes, 0)) > 0;)
            all += size;
        send(one, &all, sizeof all, MSG_NOSIGNAL);
        close(one);
    }
}

static void transmit(struct sockaddr_in *to, double seconds)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    long long all;
    if (connect(fd, (void *)to, sizeof *to) < 0)
        die("connect");
    double begin = now();
    while (now() - begin < seconds)
        if (send(fd, bytes, sizeof bytes, 0) < 0)
            die("send");
    shutdown(fd, SHUT_WR);
    if (recv(fd, &all, sizeof all, MSG_WAITALL) != sizeof all)
        die("recv");
    printf("%.0f\n", all / (now() - begin) / 1e6);
}

int main(int count, char **words)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    if (count == 3 && !strcmp(words[1], "serve")) {
        at.sin_port = htons(atoi(words[2]));
        serve(&at);
    } else if (count == 5 && !strcmp(words[1], "send") && inet_aton(words[2], &at.sin_addr)) {
        at.sin_port = htons(atoi(words[3]));
        transmit(&at, atof(words[4]));
    } else
        return 2;
    return 0;
}
