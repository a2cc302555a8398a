/*
 * The measured application over HTTP/1.1: answers each request head with 200 and a fixed body. One thread, epoll. Reads until the blank line; request bodies are not expected.
 * GET /bulk?bytes=N is answered by N bytes, POST /sink with a content-length by 200 once so much has arrived; either takes the whole thread meanwhile.
 * A request for /sse?events=N&bytes=B&every=MICROSECONDS is answered by N server-sent events of B bytes, the first at once and one each MICROSECONDS; an event carries the time it was sent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "events.h"

#define MAX_FD 65536
#define LINE 250 /* of a request head, that many bytes are kept: the request line, and of a small one its headers */
#define MAX_STREAMS 4096
#define MAX_EVENT 4096
#define PIECE (256 * 1024)
#define PATIENCE 30 /* seconds a bulk transfer may stand still */

static unsigned char matched[MAX_FD]; /* how much of \r\n\r\n was seen */
static unsigned char kept[MAX_FD];
static char line[MAX_FD][LINE];

struct stream { int fd, sent, events, bytes; uint64_t due, every; };
static struct stream streams[MAX_STREAMS];
static int stream_count;

static const char SSE_HEAD[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

static void forget(int fd) {
  int i;
  for (i = 0; i < stream_count; i++) if (streams[i].fd == fd) { streams[i] = streams[--stream_count]; return; }
}

/* One event as one chunk, in one write. Answers 0 when the connection is gone. */
static int send_event(struct stream *s, uint64_t now) {
  static char out[MAX_EVENT + 64];
  int size = sprintf(out, "%x\r\n", s->bytes), begin = size;
  size += sprintf(out + size, "data: {\"n\":%03d,\"t\":%020llu,\"text\":\"", s->sent, (unsigned long long)now);
  memset(out + size, 'x', begin + s->bytes - 4 - size);
  memcpy(out + begin + s->bytes - 4, "\"}\n\n", 4);
  size = begin + s->bytes;
  size += sprintf(out + size, ++s->sent == s->events ? "\r\n0\r\n\r\n" : "\r\n");
  return write(s->fd, out, size) == size;
}

static int begin_stream(int fd) {
  struct stream *s = &streams[stream_count];
  const char *at;
  if (stream_count == MAX_STREAMS) return 0;
  at = strstr(line[fd], "events="); s->events = at ? atoi(at + 7) : 1;
  at = strstr(line[fd], "bytes="); s->bytes = at ? atoi(at + 6) : 200;
  at = strstr(line[fd], "every="); s->every = (at ? atoll(at + 6) : 20000) * 1000ull;
  if (s->events < 1 || s->bytes < 80 || s->bytes > MAX_EVENT) return 0;
  s->fd = fd; s->sent = 0; s->due = now_ns();
  stream_count++;
  return write(fd, SSE_HEAD, sizeof SSE_HEAD - 1) == sizeof SSE_HEAD - 1;
}

/* Sends what is due; answers how long until the next is, or -1 when nothing streams. */
static int64_t run_streams(void) {
  int64_t wait = -1;
  int i;
  uint64_t now = now_ns();
  for (i = 0; i < stream_count; i++) {
    struct stream *s = &streams[i];
    if (s->due <= now) {
      now = now_ns();
      if (!send_event(s, now)) { shutdown(s->fd, SHUT_RDWR); s->sent = s->events; }
      s->due += s->every;
      if (s->sent == s->events) { *s = streams[--stream_count]; i--; continue; }
    }
    if (wait < 0 || (int64_t)(s->due - now) < wait) wait = s->due > now ? (int64_t)(s->due - now) : 0;
  }
  return wait;
}

static char piece[PIECE];

static int send_bulk(int fd) {
  const char *at = strstr(line[fd], "bytes=");
  int64_t left = at ? atoll(at + 6) : 0;
  char head[128];
  int length = sprintf(head, "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %lld\r\n\r\n", (long long)left);
  if (write(fd, head, length) != length) return 0;
  while (left > 0) {
    int64_t n = write(fd, piece, left < PIECE ? left : PIECE);
    if (n <= 0) return 0;
    left -= n;
  }
  return 1;
}

/* `have` bytes of the body came with the head. */
static int take_bulk(int fd, int64_t have) {
  static const char done[] = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
  char *at;
  int64_t left = -1;
  for (at = line[fd]; *at; at++) if (!strncasecmp(at, "\ncontent-length:", 16)) left = atoll(at + 16);
  if (left < have) return 0;
  for (left -= have; left > 0;) {
    int64_t n = read(fd, piece, left < PIECE ? left : PIECE);
    if (n <= 0) return 0;
    left -= n;
  }
  return write(fd, done, sizeof done - 1) == sizeof done - 1;
}

int serve(int port, int body) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, ep = epoll_create1(EPOLL_CLOEXEC), length;
  struct sockaddr_in a;
  struct event e, events[256];
  struct timeval patience = {PATIENCE, 0};
  char *answer = malloc(body + 256), in[16384];
  memset(&a, 0, sizeof a);
  a.sin_family = AF_INET; a.sin_port = htons(port);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&a, sizeof a) < 0 || listen(listener, 4096) < 0) return errno;
  length = sprintf(answer, "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n\r\n", body);
  memset(answer + length, 'x', body);
  length += body;
  e.events = EPOLLIN; e.data = listener;
  epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
  precise_timers();
  for (;;) {
    int i, n = wait_events(ep, events, 256, run_streams());
    for (i = 0; i < n; i++) {
      int fd = (int)events[i].data, got, k;
      if (fd == listener) {
        int c = accept4(listener, 0, 0, SOCK_CLOEXEC);
        if (c < 0) continue;
        if (c >= MAX_FD) { close(c); continue; }
        setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(c, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        matched[c] = kept[c] = 0; e.events = EPOLLIN; e.data = c;
        epoll_ctl(ep, EPOLL_CTL_ADD, c, &e);
        continue;
      }
      got = (int)read(fd, in, sizeof in);
      if (got <= 0) { forget(fd); close(fd); continue; }
      for (k = 0; k < got; k++) {
        static const char end[4] = {'\r', '\n', '\r', '\n'};
        if (kept[fd] < LINE - 1) line[fd][kept[fd]++] = in[k];
        if (in[k] == end[matched[fd]]) matched[fd]++; else matched[fd] = in[k] == '\r';
        if (matched[fd] == 4) {
          int done;
          line[fd][kept[fd]] = 0;
          matched[fd] = kept[fd] = 0;
          if (!strncmp(line[fd], "POST /sink", 10)) { done = take_bulk(fd, got - k - 1); k = got; }
          else if (!strncmp(line[fd], "GET /bulk", 9)) done = send_bulk(fd);
          else done = !strncmp(line[fd], "GET /sse", 8) ? begin_stream(fd) : write(fd, answer, length) == length;
          if (!done) { forget(fd); close(fd); break; }
        }
      }
    }
  }
}
