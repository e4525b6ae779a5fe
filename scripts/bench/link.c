/* link LIST: one empty file under all names of a list, in the order of their directories: the least that bound programs need. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int count, char **words)
{
    char to[4096], last[4096] = "", first[4096] = "";
    FILE *list = count == 2 ? fopen(words[1], "r") : 0;
    if (!list)
        return 2;
    while (fscanf(list, "%4095s", to) == 1) {
        size_t above = strrchr(to, '/') - to;
        if (strncmp(to, last, above + 1))
            for (char *slash = to + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
                *slash = 0;
                if (mkdir(to, 0755) && errno != EEXIST)
                    return 1;
            }
        strcpy(last, to);
        if (*first ? link(first, to) : close(open(to, O_WRONLY | O_CREAT | O_EXCL, 0644)))
            return 1;
        if (!*first)
            strcpy(first, to);
    }
    return 0;
}
