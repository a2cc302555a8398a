/*
 * The measuring client for one large transfer over HTTP/1.1, one connection, blocking calls. `upload` 0: asks for /bulk?bytes=N and reads the answer; 1: sends N bytes to /sink and
 * reads the answer that says they have arrived. Returns the nanoseconds from the request's first byte to the answer's last, or a negative number: -1 no connection,
 * -2 cut off or refused, -3 the wrong number of bytes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "events.h"

#define PIECE (256 * 1024)
#define PATIENCE 30 /* seconds without a byte */

static char piece[PIECE];

static int send_all(int fd, const char *bytes, int64_t length) {
  while (length > 0) {
    int64_t n = send(fd, bytes, length, 0x4000 /* MSG_NOSIGNAL */);
    if (n <= 0) return 0;
    bytes += n; length -= n;
  }
  return 1;
}

/* Reads one answer; its body's length, or -1. */
static int64_t read_answer(int fd, int64_t expected) {
  char head[4096];
  int have = 0;
  char *end = 0;
  int64_t body;
  while (!end) {
    int64_t n = read(fd, head + have, sizeof head - 1 - have);
    if (n <= 0) return -1;
    have += (int)n; head[have] = 0;
    end = strstr(head, "\r\n\r\n");
    if (!end && have == sizeof head - 1) return -1;
  }
  if (atoi(head + 9) != 200) return -1;
  body = have - (end + 4 - head);
  while (body < expected) {
    int64_t n = read(fd, piece, PIECE);
    if (n <= 0) return -1;
    body += n;
  }
  return body;
}

int64_t transfer(const char *ip, int port, int64_t bytes, int upload) {
  struct sockaddr_in target;
  struct timeval patience = {PATIENCE, 0};
  char head[512];
  uint64_t begin;
  int64_t left, answer, expected = upload ? 0 : bytes;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), length;
  memset(&target, 0, sizeof target);
  target.sin_family = AF_INET; target.sin_port = htons(port); inet_pton(AF_INET, ip, &target.sin_addr);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (fd < 0 || connect(fd, (struct sockaddr *)&target, sizeof target) < 0) return -1;
  if (upload) length = sprintf(head, "POST /sink HTTP/1.1\r\nhost: %s\r\ncontent-length: %lld\r\n\r\n", ip, (long long)bytes);
  else length = sprintf(head, "GET /bulk?bytes=%lld HTTP/1.1\r\nhost: %s\r\n\r\n", (long long)bytes, ip);
  begin = now_ns();
  if (!send_all(fd, head, length)) { close(fd); return -2; }
  for (left = upload ? bytes : 0; left > 0; left -= PIECE)
    if (!send_all(fd, piece, left < PIECE ? left : PIECE)) { close(fd); return -2; }
  answer = read_answer(fd, expected);
  begin = now_ns() - begin;
  close(fd);
  if (answer < 0) return -2;
  return answer == expected ? (int64_t)begin : -3;
}
