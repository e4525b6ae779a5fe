/*
 * What the kernel itself takes, for scripts/bench.sh: sends a file of nftables messages to it as they are, and waits until it has
 * taken the batch.
 *
 *   replay FILE
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(const char *what)
{
	perror(what);
	return 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	static char answer[1 << 16];
	struct stat found;
	int file, fd, size;
	ssize_t length;
	void *batch;

	if (argc != 2 || (file = open(argv[1], O_RDONLY)) < 0 || fstat(file, &found))
		return failed("replay FILE");
	batch = mmap(NULL, found.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	size = 2 * found.st_size;
	if (batch == MAP_FAILED || fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size))
		return failed("socket");
	if (sendto(fd, batch, found.st_size, 0, (struct sockaddr *)&kernel, sizeof kernel) != found.st_size)
		return failed("sendto");
	/* The last message but one asks for the answer. */
	length = recv(fd, answer, sizeof answer, 0);
	for (struct nlmsghdr *at = (void *)answer; NLMSG_OK(at, length); at = NLMSG_NEXT(at, length)) {
		struct nlmsgerr *error = NLMSG_DATA(at);

		if (at->nlmsg_type == NLMSG_ERROR && error->error) {
			errno = -error->error;
			return failed("batch");
		}
		if (at->nlmsg_type == NLMSG_ERROR)
			return 0;
	}
	return failed("recv");
}
