// pacer PIPE LINES PERIOD_US: writes lines of 120 bytes at a steady pace, each with its number and the moment of its
// write on the monotonic clock, in nanoseconds.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 120 };

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int fd = open(argv[1], O_RDWR);
  long lines = atol(argv[2]), period = atol(argv[3]) * 1000;
  if (fd < 0) return 2;
  struct timespec next, now;
  clock_gettime(CLOCK_MONOTONIC, &next);
  for (long i = 0; i < lines; i++) {
    char line[LINE];
    next.tv_nsec += period;
    while (next.tv_nsec >= 1000000000) {
      next.tv_nsec -= 1000000000;
      next.tv_sec++;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    memset(line, 'x', LINE);
    clock_gettime(CLOCK_MONOTONIC, &now);
    line[sprintf(line, "%ld %ld%09ld ", i, (long)now.tv_sec, now.tv_nsec)] = 'x';
    line[LINE - 1] = '\n';
    if (write(fd, line, LINE) != LINE) return 1;
  }
  return 0;
}
