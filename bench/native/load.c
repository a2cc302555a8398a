/*
 * The measuring client: HTTP/1.1 over plain TCP, one thread, epoll, no allocation while it runs. Compiled by Bun's built-in C compiler, so a bench needs no toolchain.
 * Open loop (rate > 0): requests have intended start times with ±50 % jitter; a request that finds no idle connection waits, and its latency counts from the intended time,
 * so a stalled proxy cannot hide its stall (no coordinated omission). Closed loop (rate = 0): each connection sends as soon as it is answered.
 * Routes: triples of address (network order), port, and descriptor of the network namespace to connect from (-1: this one); connection i takes route i modulo their number.
 * Fresh (fresh = 1): a new connection for each request; latency then includes the connect.
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

#define MAX_CONNECTIONS 4096
#define QUEUE 65536
#define HEAD 4096

enum { IDLE, CONNECTING, WAITING };
struct connection { int fd, state, head, headers_done; int64_t body_left; uint64_t start; char buffer[HEAD]; };

static struct connection *pool;
static int idle[MAX_CONNECTIONS], idle_count;
static uint64_t queue[QUEUE];
static unsigned queue_head, queue_tail;
struct route { uint32_t address; int32_t port, namespace; };
static const struct route *routes;
static int route_count, home_namespace;
extern int setns(int, int);
extern int open(const char *, int, ...);
static const char *request;
static int request_length, epoll_fd, fresh_mode;
static uint32_t *out_latency;
static int64_t out_count, out_limit, errors, started, scheduled;
static uint64_t seed = 88172645463325252ull;

static uint64_t next_random(void) { seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17; return seed; }

static int open_connection(struct connection *c) {
  int one = 1;
  struct event e;
  struct sockaddr_in target;
  const struct route *route = &routes[(c - pool) % route_count];
  memset(&target, 0, sizeof target);
  target.sin_family = AF_INET; target.sin_port = htons(route->port); target.sin_addr.s_addr = route->address;
  if (route->namespace >= 0 && setns(route->namespace, 0x40000000) < 0) return -1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (route->namespace >= 0 && setns(home_namespace, 0x40000000) < 0) abort();
  if (c->fd < 0) return -1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  c->state = CONNECTING; c->head = 0; c->headers_done = 0; c->body_left = 0;
  if (connect(c->fd, (struct sockaddr *)&target, sizeof target) < 0 && errno != EINPROGRESS) { close(c->fd); c->fd = -1; return -1; }
  e.events = EPOLLIN | EPOLLOUT | EPOLLET; e.data = (uint32_t)(c - pool);
  return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
}

static void close_connection(struct connection *c) {
  struct linger reset = {1, 0};
  if (c->fd < 0) return;
  if (fresh_mode) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset); /* no TIME_WAIT pile-up */
  close(c->fd); c->fd = -1;
}

static void send_request(struct connection *c, uint64_t intended) {
  c->start = intended; c->head = 0; c->headers_done = 0; c->body_left = 0; c->state = WAITING; started++;
  if (write(c->fd, request, request_length) != request_length) errors++;
}

static void take_next(struct connection *c, int open_loop) {
  if (!open_loop) { send_request(c, now_ns()); return; }
  if (queue_head != queue_tail) { send_request(c, queue[queue_head++ % QUEUE]); return; }
  c->state = IDLE; idle[idle_count++] = (int)(c - pool);
}

static int parse_head(struct connection *c) {
  char *end = 0, *p;
  int i, status;
  c->buffer[c->head] = 0;
  end = strstr(c->buffer, "\r\n\r\n");
  if (!end) return 0;
  status = c->head > 12 ? atoi(c->buffer + 9) : 0;
  if (status != 200) errors++;
  for (i = 0, p = c->buffer; p < end; p++)
    if (*p == '\n' && !strncasecmp(p + 1, "content-length:", 15)) c->body_left = atoll(p + 16);
  c->body_left -= c->head - (end + 4 - c->buffer);
  c->headers_done = 1;
  return 1;
}

static int answered(struct connection *c) {
  static char sink[65536];
  for (;;) {
    int64_t n;
    if (!c->headers_done) {
      n = read(c->fd, c->buffer + c->head, HEAD - 1 - c->head);
      if (n > 0) { c->head += (int)n; parse_head(c); }
    } else if (c->body_left > 0) {
      n = read(c->fd, sink, sizeof sink);
      if (n > 0) c->body_left -= n;
    } else return 1;
    if (n == 0) return -1;
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    if (c->headers_done && c->body_left <= 0) return 1;
  }
}

/* Returns answered requests; latencies in tenths of a microsecond go to `latency` (at most `limit`). stats: [0] errors, [1] started, [2] elapsed ns, [3] unanswered, [4] requests the schedule held (open loop). */
int64_t run(const struct route *all, int count, int connections, double rate, double seconds, int fresh, const char *head, uint32_t *latency, int64_t limit, int64_t *stats) {
  struct event events[256];
  uint64_t begin, end, next, step = rate > 0 ? (uint64_t)(1e9 / rate) : 0;
  int i, open_loop = rate > 0;
  if (connections > MAX_CONNECTIONS) return -1;
  routes = all; route_count = count; home_namespace = open("/proc/self/ns/net", 02000000);
  request = head; request_length = (int)strlen(head); fresh_mode = fresh;
  out_latency = latency; out_limit = limit; out_count = errors = started = scheduled = 0; queue_head = queue_tail = 0; idle_count = 0;
  precise_timers();
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  pool = calloc(connections, sizeof *pool);
  for (i = 0; i < connections; i++) { pool[i].fd = -1; if (fresh) { pool[i].state = IDLE; idle[idle_count++] = i; } else if (open_connection(&pool[i]) < 0) errors++; }
  begin = now_ns(); next = begin + 200000000ull; /* connections settle first */
  end = next + (uint64_t)(seconds * 1e9);
  for (;;) {
    uint64_t now = now_ns();
    int n;
    int64_t wait = 1000000;
    if (now >= end + 2000000000ull || (now >= end && out_count + errors >= started && queue_head == queue_tail)) break;
    if (open_loop) {
      while (next <= now && next < end) {
        if (idle_count > 0) {
          struct connection *c = &pool[idle[--idle_count]];
          if (fresh) { c->start = next; started++; if (open_connection(c) < 0) { errors++; idle[idle_count++] = (int)(c - pool); } } else send_request(c, next);
        } else if (queue_tail - queue_head < QUEUE) queue[queue_tail++ % QUEUE] = next;
        scheduled++;
        next += step / 2 + next_random() % (step + 1);
      }
      wait = next > now ? (int64_t)(next - now) : 0;
    } else if (fresh) {
      while (now < end && idle_count > 0) { struct connection *c = &pool[idle[--idle_count]]; c->start = now; started++; if (open_connection(c) < 0) { errors++; idle[idle_count++] = (int)(c - pool); break; } }
    }
    n = wait_events(epoll_fd, events, 256, wait > 1000000 ? 1000000 : wait);
    for (i = 0; i < n; i++) {
      struct connection *c = &pool[events[i].data];
      int done;
      if (c->fd < 0) continue;
      if (c->state == CONNECTING) {
        int e = 0; socklen_t l = sizeof e;
        if (!(events[i].events & EPOLLOUT)) continue;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &l);
        if (e) { errors++; close_connection(c); c->state = IDLE; if (fresh) idle[idle_count++] = (int)(c - pool); continue; }
        if (fresh) { uint64_t s = c->start; started--; send_request(c, s); }
        else if (open_loop) { c->state = IDLE; idle[idle_count++] = (int)(c - pool); }
        else if (now_ns() < end) send_request(c, now_ns());
        continue;
      }
      if (c->state != WAITING) { if (events[i].events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) { close_connection(c); } continue; }
      done = answered(c);
      if (done == 0) continue;
      if (done < 0) { errors++; }
      else if (out_count < out_limit) { uint64_t took = (now_ns() - c->start) / 100; out_latency[out_count++] = took > 0xffffffffull ? 0xffffffffu : (uint32_t)took; }
      if (fresh) {
        close_connection(c);
        if (open_loop && queue_head != queue_tail) { c->start = queue[queue_head++ % QUEUE]; started++; if (open_connection(c) < 0) errors++; }
        else { c->state = IDLE; idle[idle_count++] = (int)(c - pool); }
      } else if (done < 0) { close_connection(c); if (now_ns() < end && open_connection(c) < 0) errors++; }
      else if (open_loop) take_next(c, 1);
      else if (now_ns() < end) send_request(c, now_ns());
      else c->state = IDLE;
    }
  }
  stats[0] = errors; stats[1] = started; stats[2] = (int64_t)(now_ns() - begin - 200000000ull); stats[3] = started - out_count - errors; stats[4] = scheduled;
  for (i = 0; i < connections; i++) close_connection(&pool[i]);
  close(epoll_fd); free(pool);
  return out_count;
}
