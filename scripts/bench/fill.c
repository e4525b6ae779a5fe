/* The least that filling a box can cost, from a list that is ready, in the order of its directories:
 *
 * fill copy LIST     copies each file; a line has a source and a destination
 * fill link LIST     one empty file under all names, as bound programs need; a line has a name
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The directories above a name, unless they are those of the last one. */
static int make_way(char *to)
{
    static char last[4096];
    size_t above = strrchr(to, '/') - to;
    if (strncmp(to, last, above + 1))
        for (char *slash = to + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
            *slash = 0;
            if (mkdir(to, 0755) && errno != EEXIST)
                return -1;
        }
    strcpy(last, to);
    return 0;
}

static int copy(const char *from, const char *to)
{
    struct stat stat;
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0755);
    if (in < 0 || out < 0 || fstat(in, &stat))
        return -1;
    for (ssize_t copied; stat.st_size > 0; stat.st_size -= copied)
        if ((copied = copy_file_range(in, 0, out, 0, stat.st_size, 0)) <= 0)
            return -1;
    close(in);
    close(out);
    return 0;
}

static int name(const char *to)
{
    static char first[4096];
    if (*first)
        return link(first, to);
    strcpy(first, to);
    return close(open(to, O_WRONLY | O_CREAT | O_EXCL, 0644));
}

int main(int count, char **words)
{
    char from[4096], to[4096];
    int is_copy = count == 3 && !strcmp(words[1], "copy");
    FILE *list = count == 3 ? fopen(words[2], "r") : 0;
    if (!list || (!is_copy && strcmp(words[1], "link")))
        return 2;
    while (is_copy ? fscanf(list, "%4095s %4095s", from, to) == 2 : fscanf(list, "%4095s", to) == 1)
        if (make_way(to) || (is_copy ? copy(from, to) : name(to)))
            return 1;
    return 0;
}
