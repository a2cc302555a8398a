/* Opens connections, has each answer one request, and leaves them open: the client of idle connections. A window of them is under way at a time. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "events.h"

#define UNDER_WAY 32
#define PATIENCE 60000000000ull

static int *fds;

static int begin_one(int epoll_fd, int index, struct sockaddr_in *target) {
  struct event e;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  if (connect(fd, (struct sockaddr *)target, sizeof *target) < 0 && errno != EINPROGRESS) { close(fd); return 0; }
  fds[index] = fd;
  e.events = EPOLLIN | EPOLLOUT | EPOLLET; e.data = (uint32_t)index;
  return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* How many connections had their answer; they stay open until the process ends. `answer` is the length of a whole one; proxies may add to it. */
int hold(const char *ip, int port, int count, const char *request, int answer) {
  struct event events[256];
  struct sockaddr_in target;
  int epoll_fd = epoll_create1(EPOLL_CLOEXEC), started = 0, done = 0, i, *got = calloc(count, sizeof *got);
  char *asked = calloc(count, 1), sink[65536];
  uint64_t end = now_ns() + PATIENCE;
  fds = calloc(count, sizeof *fds);
  memset(&target, 0, sizeof target);
  target.sin_family = AF_INET; target.sin_port = htons(port); inet_pton(AF_INET, ip, &target.sin_addr);
  while (done < count && now_ns() < end) {
    int n;
    while (started < count && started - done < UNDER_WAY) { if (!begin_one(epoll_fd, started, &target)) return done; started++; }
    n = wait_events(epoll_fd, events, 256, 1000000000);
    for (i = 0; i < n; i++) {
      int k = (int)events[i].data;
      if (!asked[k] && (events[i].events & EPOLLOUT)) {
        int length = (int)strlen(request);
        if (write(fds[k], request, length) != length) return done;
        asked[k] = 1;
      }
      for (;;) {
        int64_t r = read(fds[k], sink, sizeof sink);
        if (r > 0) { got[k] += (int)r; if (got[k] >= answer && asked[k] == 1) { asked[k] = 2; done++; } continue; }
        if (r == 0) return done;
        break;
      }
    }
  }
  free(got); free(asked);
  return done;
}
