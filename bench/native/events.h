/* epoll as the programs of this folder use it. */
#include <stdint.h>

/* The kernel's packed 12-byte event, spelled out: the compiler used here does not honour the packed attribute of the system header. */
struct event { uint32_t events, data, high; };
extern int epoll_create1(int), epoll_ctl(int, int, int, struct event *);
enum { EPOLLIN = 1, EPOLLOUT = 4, EPOLLERR = 8, EPOLLHUP = 16, EPOLLRDHUP = 0x2000, EPOLL_CTL_ADD = 1, EPOLL_CLOEXEC = 02000000 };
#define EPOLLET 0x80000000u

/* Waits to the nanosecond (negative: for ever): a program that spins until its next moment would take the processor from its neighbour on the same core. */
extern long syscall(long, ...);
extern int prctl(int, unsigned long, ...);
static int wait_events(int fd, struct event *events, int count, int64_t nanoseconds) {
  struct timespec t;
  t.tv_sec = nanoseconds / 1000000000; t.tv_nsec = nanoseconds % 1000000000;
  return (int)syscall(441 /* epoll_pwait2 */, (long)fd, events, (long)count, nanoseconds < 0 ? (void *)0 : (void *)&t, (void *)0, 8L);
}
static void precise_timers(void) { prctl(29 /* PR_SET_TIMERSLACK */, 1ul, 0ul, 0ul, 0ul); }
static uint64_t now_ns(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec; }
