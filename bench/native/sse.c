/*
 * The client of server-sent events: `connections` keep-alive connections, each of which reads one stream after the other. One thread, epoll.
 * Measured: from the request to the first event; each later event from the time its sender wrote into it to its arrival; and by how much the gap between two arrivals differs from the gap
 * between the two sendings. Sender and receiver share the machine's monotonic clock.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "events.h"

#define MAX_CONNECTIONS 1024
#define HEAD 4096
#define MAX_EVENT 8192

enum { WAITING, IN_HEAD, SIZE_LINE, PAYLOAD, AFTER_PAYLOAD, TRAILER };
struct reader {
  int fd, state, head, size, event, seen;
  uint64_t begun, arrived, sent, start;
  char buffer[HEAD], text[MAX_EVENT];
};
struct series { uint32_t *values; int64_t count, limit; };

static struct reader *readers;
static struct series first, delay, uneven;
static const char *request;
static int expected;
static int64_t errors, complete;

static void keep(struct series *s, int64_t nanoseconds) {
  uint64_t tenths = (uint64_t)(nanoseconds < 0 ? 0 : nanoseconds) / 100;
  if (s->count < s->limit) s->values[s->count++] = tenths > 0xffffffffull ? 0xffffffffu : (uint32_t)tenths;
}

/* One whole event in `text`. */
static void take_event(struct reader *r, uint64_t now) {
  char *at;
  uint64_t sent;
  r->text[r->event] = 0; r->event = 0;
  at = strstr(r->text, "\"t\":");
  if (!at) { errors++; return; }
  sent = strtoull(at + 4, 0, 10);
  if (r->seen++ == 0) keep(&first, (int64_t)(now - r->begun));
  else {
    int64_t gap = (int64_t)(now - r->arrived) - (int64_t)(sent - r->sent);
    keep(&delay, (int64_t)(now - sent));
    keep(&uneven, gap < 0 ? -gap : gap);
  }
  r->arrived = now; r->sent = sent;
}

static void end_stream(struct reader *r, uint64_t now) {
  if (r->seen != expected || r->event != 0) errors++; else complete++;
  r->state = WAITING; r->start = now;
}

static void take(struct reader *r, char c, uint64_t now) {
  switch (r->state) {
    case IN_HEAD:
      if (r->head < HEAD - 1) r->buffer[r->head++] = c;
      if (c != '\n' || r->head < 4 || memcmp(r->buffer + r->head - 4, "\r\n\r\n", 4)) return;
      r->buffer[r->head] = 0;
      if (atoi(r->buffer + 9) != 200 || !strcasestr(r->buffer, "transfer-encoding: chunked")) errors++;
      r->state = SIZE_LINE; r->head = 0;
      return;
    case SIZE_LINE:
      if (r->head < 32) r->buffer[r->head++] = c;
      if (c != '\n') return;
      r->buffer[r->head] = 0; r->head = 0;
      r->size = (int)strtol(r->buffer, 0, 16);
      r->state = r->size > 0 ? PAYLOAD : TRAILER;
      return;
    case PAYLOAD:
      if (r->event < MAX_EVENT - 1) r->text[r->event++] = c;
      if (c == '\n' && r->event > 1 && r->text[r->event - 2] == '\n') take_event(r, now);
      if (--r->size == 0) r->state = AFTER_PAYLOAD;
      return;
    case AFTER_PAYLOAD:
      if (c == '\n') r->state = SIZE_LINE;
      return;
    case TRAILER:
      if (r->head < 32) r->buffer[r->head++] = c;
      if (c != '\n') return;
      if (r->head == 2) { r->head = 0; end_stream(r, now); } else r->head = 0;
  }
}

static int begin_stream(struct reader *r) {
  int length = (int)strlen(request);
  r->state = IN_HEAD; r->head = r->event = r->seen = 0; r->begun = now_ns();
  return write(r->fd, request, length) == length;
}

/*
 * Answers complete streams. Series get tenths of a microsecond; `counts` receives how many values each got (first, delay, uneven), in: its limits. `stats`: [0] errors, [1] elapsed ns, [2] events.
 * Connections begin evenly over `spread` seconds, the length of a stream, so that they do not move in step.
 */
int64_t run(const char *ip, int port, int connections, double seconds, double spread, int events_expected, const char *head,
            uint32_t *first_values, uint32_t *delay_values, uint32_t *uneven_values, int64_t *counts, int64_t *stats) {
  struct sockaddr_in target;
  struct event events[256];
  int ep = epoll_create1(EPOLL_CLOEXEC), i, one = 1;
  uint64_t begin, end;
  if (connections > MAX_CONNECTIONS) return -1;
  memset(&target, 0, sizeof target);
  target.sin_family = AF_INET; target.sin_port = htons(port); inet_pton(AF_INET, ip, &target.sin_addr);
  request = head; expected = events_expected; errors = complete = 0;
  first.values = first_values; first.limit = counts[0]; delay.values = delay_values; delay.limit = counts[1]; uneven.values = uneven_values; uneven.limit = counts[2];
  first.count = delay.count = uneven.count = 0;
  readers = calloc(connections, sizeof *readers);
  precise_timers();
  for (i = 0; i < connections; i++) {
    struct reader *r = &readers[i];
    struct event e;
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(r->fd, (struct sockaddr *)&target, sizeof target) < 0) return -2;
    e.events = EPOLLIN; e.data = (uint32_t)i;
    epoll_ctl(ep, EPOLL_CTL_ADD, r->fd, &e);
  }
  begin = now_ns(); end = begin + (uint64_t)(seconds * 1e9);
  for (i = 0; i < connections; i++) readers[i].start = begin + (uint64_t)(spread * 1e9 * i / connections);
  for (;;) {
    uint64_t now = now_ns();
    int64_t wait = 100000000;
    int n, busy = 0;
    for (i = 0; i < connections; i++) {
      struct reader *r = &readers[i];
      if (r->fd < 0) continue;
      if (r->state != WAITING) { busy++; continue; }
      if (now >= end) continue;
      if (r->start <= now) { busy++; if (!begin_stream(r)) { errors++; close(r->fd); r->fd = -1; } }
      else if ((int64_t)(r->start - now) < wait) wait = (int64_t)(r->start - now);
    }
    if (now >= end && (busy == 0 || now >= end + 5000000000ull)) { errors += busy; break; }
    n = wait_events(ep, events, 256, wait);
    for (i = 0; i < n; i++) {
      struct reader *r = &readers[events[i].data];
      static char in[65536];
      int64_t got, k;
      if (r->fd < 0) continue;
      got = read(r->fd, in, sizeof in);
      now = now_ns();
      if (got <= 0) { if (r->state != WAITING) errors++; close(r->fd); r->fd = -1; continue; }
      for (k = 0; k < got; k++) take(r, in[k], now);
    }
  }
  stats[0] = errors; stats[1] = (int64_t)(now_ns() - begin); stats[2] = first.count + delay.count;
  counts[0] = first.count; counts[1] = delay.count; counts[2] = uneven.count;
  for (i = 0; i < connections; i++) if (readers[i].fd >= 0) close(readers[i].fd);
  close(ep); free(readers);
  return complete;
}
