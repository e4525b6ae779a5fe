/* What `nsrun up --net | netwire up` has the kernel do, with the bare system calls: a network namespace that a process holds,
 * a veth pair into it, addresses, routes. The limit, not a tool: it checks that each step went and nothing else.
 *
 * wire hold            starts `pause` in a new network namespace and prints its pid
 * wire up N            reads the pid; the address is number N of 10.250.0.0/16
 * wire one N           both in one process; the namespace goes with it
 * wire rate N          1..N of the latter in one process: prints pods a second and the kernel's memory of each, then lets go
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[8192];
static size_t used;
static struct nlmsghdr *message;
static unsigned sequence;

static void die(const char *what)
{
    fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void begin(int type, int flags, const void *body, size_t size)
{
    message = (void *)(buffer + used);
    memset(message, 0, NLMSG_SPACE(size));
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | flags;
    message->nlmsg_seq = ++sequence;
    message->nlmsg_len = NLMSG_LENGTH(size);
    memcpy(NLMSG_DATA(message), body, size);
    used += NLMSG_SPACE(size);
}

static struct rtattr *attribute(int type, const void *value, size_t size)
{
    struct rtattr *at = (void *)(buffer + used);
    at->rta_type = type;
    at->rta_len = RTA_LENGTH(size);
    if (size)
        memcpy(RTA_DATA(at), value, size);
    used += RTA_SPACE(size);
    message->nlmsg_len = (char *)buffer + used - (char *)message;
    return at;
}

static void nested(struct rtattr *at)
{
    at->rta_len = buffer + used - (char *)at;
}

static int route_socket(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        die("socket");
    return fd;
}

/* All at once; errors of any are answered, and the last answer says that all are done. */
static void send_all(int fd)
{
    char answer[8192];
    unsigned last = sequence;
    message->nlmsg_flags |= NLM_F_ACK;
    if (send(fd, buffer, used, 0) < 0)
        die("send");
    used = 0;
    for (;;) {
        ssize_t size = recv(fd, answer, sizeof answer, 0);
        if (size < 0)
            die("recv");
        for (struct nlmsghdr *at = (void *)answer; NLMSG_OK(at, size); at = NLMSG_NEXT(at, size)) {
            struct nlmsgerr *error = NLMSG_DATA(at);
            if (at->nlmsg_type != NLMSG_ERROR)
                continue;
            if (error->error) {
                errno = -error->error;
                die("netlink");
            }
            if (at->nlmsg_seq == last)
                return;
        }
    }
}

static void address(int index, uint32_t ip, int prefix)
{
    struct ifaddrmsg body = {AF_INET, prefix, 0, 0, index};
    begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
    ip = htonl(ip);
    attribute(IFA_LOCAL, &ip, 4);
    attribute(IFA_ADDRESS, &ip, 4);
}

static void route(int type, int index, uint32_t to, int prefix, uint32_t via, int scope)
{
    int protocol = type == RTM_NEWROUTE ? RTPROT_BOOT : RTPROT_KERNEL;
    struct rtmsg body = {AF_INET, prefix, 0, 0, RT_TABLE_MAIN, protocol, scope, RTN_UNICAST, 0};
    begin(type, type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_EXCL : 0, &body, sizeof body);
    to = htonl(to);
    via = htonl(via);
    if (prefix)
        attribute(RTA_DST, &to, 4);
    if (via)
        attribute(RTA_GATEWAY, &via, 4);
    attribute(RTA_OIF, &index, 4);
}

static void up(int index)
{
    struct ifinfomsg body = {AF_UNSPEC, 0, 0, index, IFF_UP, IFF_UP};
    begin(RTM_NEWLINK, 0, &body, sizeof body);
}

/* The numbers of both ends are chosen, so that nothing has to be asked for. */
static void wire(int host, int pod, int namespace, int number)
{
    uint32_t net = 0x0afa0000, gateway = net + 1, ip = net + 1 + number;
    int index = 1000 + number, inside = 2;
    char name[IFNAMSIZ];
    struct ifinfomsg body = {AF_UNSPEC, 0, 0, index, IFF_UP, IFF_UP};
    struct ifinfomsg peer = {AF_UNSPEC, 0, 0, inside, 0, 0};

    begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
    attribute(IFLA_IFNAME, name, sprintf(name, "wire%d", number) + 1);
    struct rtattr *info = attribute(IFLA_LINKINFO, NULL, 0);
    attribute(IFLA_INFO_KIND, "veth", 5);
    struct rtattr *data = attribute(IFLA_INFO_DATA, NULL, 0);
    struct rtattr *other = attribute(VETH_INFO_PEER, &peer, sizeof peer);
    attribute(IFLA_IFNAME, "eth0", 5);
    attribute(IFLA_NET_NS_FD, &namespace, 4);
    nested(other);
    nested(data);
    nested(info);
    address(index, gateway, 32);
    route(RTM_NEWROUTE, index, ip, 32, 0, RT_SCOPE_HOST);
    send_all(host);

    up(1);
    up(inside);
    address(inside, ip, 16);
    route(RTM_DELROUTE, inside, net, 16, 0, RT_SCOPE_LINK);
    route(RTM_NEWROUTE, inside, gateway, 32, 0, RT_SCOPE_LINK);
    route(RTM_NEWROUTE, inside, net, 16, gateway, RT_SCOPE_UNIVERSE);
    route(RTM_NEWROUTE, inside, 0, 0, gateway, RT_SCOPE_UNIVERSE);
    send_all(pod);
}

static void enter(int namespace)
{
    if (setns(namespace, CLONE_NEWNET) < 0)
        die("setns");
}

/* A new namespace, a socket in it, and back. */
static int make(int own, int *namespace)
{
    if (unshare(CLONE_NEWNET) < 0)
        die("unshare");
    int pod = route_socket();
    *namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    enter(own);
    return pod;
}

static void hold(void)
{
    int ready[2];
    char byte;
    if (pipe2(ready, O_CLOEXEC) < 0)
        die("pipe2");
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNET) < 0)
            die("unshare");
        /* stdout must not be held */
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        execlp("pause", "pause", (char *)NULL);
        die("pause");
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) < 0)
        die("read");
    printf("%d\n", pid);
}

static void wire_up(int number)
{
    char path[64];
    int pid;
    if (scanf("%d", &pid) != 1)
        exit(1);
    sprintf(path, "/proc/%d/ns/net", pid);
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0)
        die(path);
    int host = route_socket(), own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    enter(namespace);
    int pod = route_socket();
    enter(own);
    wire(host, pod, namespace, number);
    printf("%d\n", pid);
}

/* What the kernel has taken for itself, in kB. */
static long kernel_memory(void)
{
    char line[128];
    long all = 0, value;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "Slab: %ld", &value) == 1 || sscanf(line, "KernelStack: %ld", &value) == 1 ||
            sscanf(line, "PageTables: %ld", &value) == 1 || sscanf(line, "Percpu: %ld", &value) == 1)
            all += value;
    if (file)
        fclose(file);
    return all;
}

static void rate(int count)
{
    struct timespec from, to;
    int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), host = route_socket();
    long before = kernel_memory();
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int number = 1; number <= count; number++) {
        int namespace, pod = make(own, &namespace);
        wire(host, pod, namespace, number);
        close(pod); /* the namespace stays open */
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    double seconds = to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) / 1e9;
    printf("%.0f %ld\n", count / seconds, (kernel_memory() - before) / count);
}

int main(int count, char **words)
{
    if (count == 2 && !strcmp(words[1], "hold"))
        hold();
    else if (count == 3 && !strcmp(words[1], "up"))
        wire_up(atoi(words[2]));
    else if (count == 3 && !strcmp(words[1], "rate"))
        rate(atoi(words[2]));
    else if (count == 3 && !strcmp(words[1], "one")) {
        int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), host = route_socket(), namespace;
        int pod = make(own, &namespace);
        wire(host, pod, namespace, atoi(words[2]));
    } else
        return 2;
    return 0;
}
