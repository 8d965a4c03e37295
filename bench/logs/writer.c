// writer PIPE LINES LINES_PER_WRITE: writes numbered lines of 120 bytes into a named pipe, and prints the seconds that
// passed until all of them had been taken out of it.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 120, MAX_LINES_PER_WRITE = 546 };

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  // Also for reading, as Hamlet gives a pipe to a component: a reader that is late is no error.
  int fd = open(argv[1], O_RDWR);
  long lines = atol(argv[2]);
  int per_write = atoi(argv[3]);
  static char buffer[MAX_LINES_PER_WRITE * LINE + 1];
  if (fd < 0 || per_write < 1 || per_write > MAX_LINES_PER_WRITE) return 2;
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (long i = 0; i < lines;) {
    int length = 0;
    for (int k = 0; k < per_write && i < lines; k++, i++, length += LINE) {
      memset(buffer + length, 'x', LINE - 1);
      buffer[length + sprintf(buffer + length, "%ld", i)] = ' ';
      buffer[length + LINE - 1] = '\n';
    }
    for (int done = 0; done < length;) {
      int written = write(fd, buffer + done, length - done);
      if (written < 0) return 1;
      done += written;
    }
  }
  for (int left = 1; left > 0 && ioctl(fd, FIONREAD, &left) == 0;) {
    if (left > 0) usleep(100);
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  printf("%.6f\n", (end.tv_sec - start.tv_sec) + (end.tv_nsec - start.tv_nsec) / 1e9);
  return 0;
}
