/*
 * The measured gRPC application: HTTP/2 without TLS and with prior knowledge (RFC 9113 3.3). One thread, epoll. What to answer stands in the request message, so that header blocks
 * need no decoding: four octets with the number of messages, four with the octets of each (big endian). Several messages are sent one at a time, streams taking turns, as a server
 * that produces them does; windows are honoured. Anything else a peer could do wrong ends the connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "events.h"

#define MAX_FD 4096
#define MAX_STREAMS 1024
#define IN (1 << 16)
#define OUT (1 << 20)
#define MAX_MESSAGE 8192
#define WINDOW_STEP (1 << 18)

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 };

struct stream { uint32_t id; int64_t window; int got, answering, messages, size; unsigned char request[13]; };
struct connection {
  int fd, greeted, in_length, out_start, out_length, streams, closing;
  int64_t window, initial, received;
  struct stream stream[MAX_STREAMS];
  unsigned char in[IN], out[OUT];
};
static struct connection *connections[MAX_FD];

static uint32_t read32(const unsigned char *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
static void put32(unsigned char *p, uint32_t v) { p[0] = v >> 24; p[1] = v >> 16; p[2] = v >> 8; p[3] = v; }

/* Room for a frame's payload, its header written; 0 when the buffer is full. */
static unsigned char *frame(struct connection *c, int length, int type, int flags, uint32_t id) {
  unsigned char *p = c->out + c->out_start + c->out_length;
  if (c->out_start + c->out_length + 9 + length > OUT) { c->closing = 1; return 0; }
  p[0] = length >> 16; p[1] = length >> 8; p[2] = length; p[3] = type; p[4] = flags;
  put32(p + 5, id);
  c->out_length += 9 + length;
  return p + 9;
}

static void flush_output(struct connection *c) {
  while (c->out_length > 0) {
    int64_t n = write(c->fd, c->out + c->out_start, c->out_length);
    if (n < 0) { if (errno != EAGAIN) c->closing = 1; break; }
    c->out_start += (int)n; c->out_length -= (int)n;
  }
  if (c->out_length == 0) c->out_start = 0;
  else if (c->out_start > OUT / 2) { memmove(c->out, c->out + c->out_start, c->out_length); c->out_start = 0; }
}

static struct stream *find(struct connection *c, uint32_t id) {
  int i;
  for (i = 0; i < c->streams; i++) if (c->stream[i].id == id) return &c->stream[i];
  return 0;
}

/* :status 200 and the content type, without indexing (RFC 7541 6.2.2). */
static const unsigned char ANSWER_HEAD[] = {0x88, 0x0f, 0x10, 16, 'a', 'p', 'p', 'l', 'i', 'c', 'a', 't', 'i', 'o', 'n', '/', 'g', 'r', 'p', 'c'};
static const unsigned char ANSWER_TRAILER[] = {0x00, 11, 'g', 'r', 'p', 'c', '-', 's', 't', 'a', 't', 'u', 's', 1, '0'};

static void begin_answer(struct connection *c, struct stream *s) {
  unsigned char *p = frame(c, sizeof ANSWER_HEAD, HEADERS, END_HEADERS, s->id);
  if (!p) return;
  memcpy(p, ANSWER_HEAD, sizeof ANSWER_HEAD);
  s->answering = 1;
  s->messages = s->got >= 13 ? (int)read32(s->request + 5) : 1;
  s->size = s->got >= 13 ? (int)read32(s->request + 9) : 16;
  if (s->size < 0 || s->size > MAX_MESSAGE) c->closing = 1;
}

/* One message of each answering stream, as far as windows allow. Answers whether there is more that could go at once. */
static int answer_once(struct connection *c) {
  int i, more = 0;
  if (c->out_length > OUT / 2) return 0;
  for (i = 0; i < c->streams; i++) {
    struct stream *s = &c->stream[i];
    int length = 5 + s->size;
    unsigned char *p;
    if (!s->answering) continue;
    if (s->messages > 0) {
      if (c->window < length || s->window < length) continue;
      p = frame(c, length, DATA, 0, s->id);
      if (!p) return 0;
      p[0] = 0; put32(p + 1, s->size); memset(p + 5, 'x', s->size);
      c->window -= length; s->window -= length; s->messages--;
    }
    if (s->messages > 0) { more = 1; continue; }
    p = frame(c, sizeof ANSWER_TRAILER, HEADERS, END_HEADERS | END_STREAM, s->id);
    if (!p) return 0;
    memcpy(p, ANSWER_TRAILER, sizeof ANSWER_TRAILER);
    *s = c->stream[--c->streams]; i--;
  }
  return more;
}

static void on_settings(struct connection *c, const unsigned char *p, int length, int flags) {
  int i, k;
  if (flags & ACK) return;
  for (k = 0; k + 6 <= length; k += 6) {
    int64_t value = read32(p + k + 2);
    if (p[k] != 0 || p[k + 1] != 4) continue; /* INITIAL_WINDOW_SIZE */
    for (i = 0; i < c->streams; i++) c->stream[i].window += value - c->initial;
    c->initial = value;
  }
  frame(c, 0, SETTINGS, ACK, 0);
}

static void on_data(struct connection *c, const unsigned char *p, int length, int flags, uint32_t id) {
  struct stream *s = find(c, id);
  int whole = length, k;
  if (flags & PADDED) { if (length < 1 || p[0] >= length) { c->closing = 1; return; } length -= 1 + p[0]; p++; }
  c->received += whole;
  if (c->received >= WINDOW_STEP) {
    unsigned char *update = frame(c, 4, WINDOW_UPDATE, 0, 0);
    if (update) put32(update, (uint32_t)c->received);
    c->received = 0;
  }
  if (!s) return; /* reset meanwhile */
  for (k = 0; k < length && s->got + k < (int)sizeof s->request; k++) s->request[s->got + k] = p[k];
  s->got += length;
  if (flags & END_STREAM) begin_answer(c, s);
}

static void on_frame(struct connection *c, const unsigned char *head, const unsigned char *p, int length) {
  int flags = head[4];
  uint32_t id = read32(head + 5) & 0x7fffffff;
  struct stream *s;
  unsigned char *out;
  switch (head[3]) {
    case HEADERS:
      s = find(c, id);
      if (!s) {
        if (c->streams == MAX_STREAMS) { c->closing = 1; return; }
        s = &c->stream[c->streams++];
        memset(s, 0, sizeof *s);
        s->id = id; s->window = c->initial;
      }
      if (flags & END_STREAM) begin_answer(c, s);
      return;
    case DATA: on_data(c, p, length, flags, id); return;
    case SETTINGS: on_settings(c, p, length, flags); return;
    case RST_STREAM: s = find(c, id); if (s) *s = c->stream[--c->streams]; return;
    case PING: if (!(flags & ACK) && length == 8 && (out = frame(c, 8, PING, ACK, 0))) memcpy(out, p, 8); return;
    case WINDOW_UPDATE:
      if (length != 4) { c->closing = 1; return; }
      if (id == 0) c->window += read32(p) & 0x7fffffff;
      else if ((s = find(c, id))) s->window += read32(p) & 0x7fffffff;
  }
}

static void greet(struct connection *c) {
  unsigned char *p = frame(c, 12, SETTINGS, 0, 0);
  memset(p, 0, 12);
  p[1] = 3; put32(p + 2, MAX_STREAMS); /* MAX_CONCURRENT_STREAMS */
  p[7] = 4; put32(p + 8, 65535);       /* INITIAL_WINDOW_SIZE */
  put32(frame(c, 4, WINDOW_UPDATE, 0, 0), 4 * WINDOW_STEP);
  c->greeted = 1;
}

static void read_input(struct connection *c) {
  for (;;) {
    int64_t n = read(c->fd, c->in + c->in_length, IN - c->in_length);
    int at = 0;
    if (n == 0 || (n < 0 && errno != EAGAIN)) { c->closing = 1; return; }
    if (n < 0) return;
    c->in_length += (int)n;
    if (!c->greeted) {
      if (c->in_length < 24) continue;
      if (memcmp(c->in, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24)) { c->closing = 1; return; }
      greet(c);
      at = 24;
    }
    while (c->in_length - at >= 9) {
      const unsigned char *head = c->in + at;
      int length = head[0] << 16 | head[1] << 8 | head[2];
      if (length > 16384) { c->closing = 1; return; }
      if (c->in_length - at < 9 + length) break;
      on_frame(c, head, head + 9, length);
      if (c->closing) return;
      at += 9 + length;
    }
    if (at > 0) { memmove(c->in, c->in + at, c->in_length - at); c->in_length -= at; }
  }
}

static void welcome(int ep, int listener) {
  int fd, one = 1;
  struct event e;
  while ((fd = accept4(listener, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
    struct connection *c;
    if (fd >= MAX_FD) { close(fd); continue; }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c = calloc(1, sizeof *c);
    c->fd = fd; c->window = c->initial = 65535;
    connections[fd] = c;
    e.events = EPOLLIN | EPOLLOUT | EPOLLET; e.data = (uint32_t)fd;
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
  }
}

int serve(int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1, ep = epoll_create1(EPOLL_CLOEXEC), busy = 0, last = 0;
  struct sockaddr_in a;
  struct event e, events[256];
  memset(&a, 0, sizeof a);
  a.sin_family = AF_INET; a.sin_port = htons(port);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&a, sizeof a) < 0 || listen(listener, 4096) < 0) return errno;
  e.events = EPOLLIN; e.data = listener;
  epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
  for (;;) {
    int i, n = wait_events(ep, events, 256, busy ? 0 : -1);
    for (i = 0; i < n; i++) {
      int fd = (int)events[i].data;
      if (fd == listener) { welcome(ep, listener); continue; }
      if (fd > last) last = fd;
      read_input(connections[fd]);
    }
    busy = 0;
    for (i = 0; i <= last; i++) {
      struct connection *c = connections[i];
      if (!c) continue;
      if (!c->closing && answer_once(c)) busy = 1;
      if (!c->closing) flush_output(c);
      if (c->closing) { flush_output(c); close(i); free(c); connections[i] = 0; }
    }
  }
}
