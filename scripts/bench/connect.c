/* connect serve PORT               accepts and closes, for ever, without sleeping: so that no wake-up is in the figures
   connect COUNT IP PORT [IP PORT]...   connects so often to each in turn, and prints the median of each in microseconds */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in address(const char *ip, const char *port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
    inet_pton(AF_INET, ip, &to.sin_addr);
    return to;
}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1e6 + at.tv_nsec / 1e3;
}

static int ascending(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static int serve(const char *port)
{
    struct sockaddr_in any = address("0.0.0.0", port);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (void *)&any, sizeof any) || listen(listener, 4096))
        return perror("connect: bind"), 1;
    puts("listening");
    fflush(stdout);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client >= 0)
            close(client);
    }
}

int main(int count, char **words)
{
    if (count == 3 && !strcmp(words[1], "serve"))
        return serve(words[2]);
    int times = count > 3 ? atoi(words[1]) : 0, targets = (count - 2) / 2;
    if (times < 1)
        return fputs("usage: connect serve PORT | connect COUNT IP PORT...\n", stderr), 2;
    double *took = malloc(sizeof *took * times * targets);
    for (int round = 0; round < times; round++)
        for (int at = 0; at < targets; at++) {
            struct sockaddr_in to = address(words[2 + 2 * at], words[3 + 2 * at]);
            struct linger reset = { 1, 0 };
            int client = socket(AF_INET, SOCK_STREAM, 0);
            setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            double begin = now();
            if (connect(client, (void *)&to, sizeof to))
                return perror("connect: connect"), 1;
            took[at * times + round] = now() - begin;
            close(client);
        }
    for (int at = 0; at < targets; at++) {
        qsort(took + at * times, times, sizeof *took, ascending);
        printf("%.2f%c", took[at * times + times / 2], at + 1 < targets ? ' ' : '\n');
    }
    return 0;
}
