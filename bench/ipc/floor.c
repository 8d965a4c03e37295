/*
 * The floor: what a round trip through a broker costs on this machine when nothing is done but moving the bytes.
 * Three processes with Unix stream sockets between them: a caller that keeps N requests open, a broker that reads
 * the header of each frame (the mesh's 16 bytes) and passes runs of frames on, and a server that answers.
 *
 *   floor OUTSTANDING MILLISECONDS REQUEST_BYTES ANSWER_BYTES
 *
 * prints {"count":…,"seconds":…,"p50Us":…,"p99Us":…,"cpuUs":…}.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 16, BUFFER = 256 * 1024 };

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void write_all(int fd, const char *bytes, size_t count) {
  while (count > 0) {
    ssize_t n = write(fd, bytes, count);
    if (n <= 0) exit(0);
    bytes += n;
    count -= n;
  }
}

/* Reads more behind the `have` bytes in the buffer. Gives how many there are then. */
static size_t read_more(int fd, char *buffer, size_t have) {
  ssize_t n = read(fd, buffer + have, BUFFER - have);
  if (n <= 0) exit(0);
  return have + n;
}

static size_t frame_bytes(const char *header) {
  uint32_t length;
  memcpy(&length, header, 4);
  return HEADER + ntohl(length);
}

static void make_header(char *header, uint32_t length, uint32_t call) {
  memset(header, 0, HEADER);
  length = htonl(length);
  memcpy(header, &length, 4);
  memcpy(header + 12, &call, 4);
}

/* How many bytes from the start of the buffer are whole frames. */
static size_t whole_frames(const char *buffer, size_t have) {
  size_t at = 0;
  while (have - at >= HEADER && have - at >= frame_bytes(buffer + at)) at += frame_bytes(buffer + at);
  return at;
}

static void broker(int a, int b) {
  char *buffers[2] = {malloc(BUFFER), malloc(BUFFER)};
  size_t have[2] = {0, 0};
  struct pollfd fds[2] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
  for (;;) {
    if (poll(fds, 2, -1) < 0) fail("poll");
    for (int from = 0; from < 2; from++) {
      if (fds[from].revents == 0) continue;
      have[from] = read_more(fds[from].fd, buffers[from], have[from]);
      size_t whole = whole_frames(buffers[from], have[from]);
      write_all(fds[1 - from].fd, buffers[from], whole);
      memmove(buffers[from], buffers[from] + whole, have[from] - whole);
      have[from] -= whole;
    }
  }
}

static void server(int fd, size_t answer_bytes) {
  char *in = malloc(BUFFER), *out = malloc(BUFFER);
  memset(out, 1, BUFFER);
  size_t have = 0;
  for (;;) {
    have = read_more(fd, in, have);
    size_t at = 0, ready = 0, whole = whole_frames(in, have);
    for (; at < whole; at += frame_bytes(in + at)) {
      if (ready + HEADER + answer_bytes > BUFFER) {
        write_all(fd, out, ready);
        ready = 0;
      }
      uint32_t call;
      memcpy(&call, in + at + 12, 4);
      make_header(out + ready, answer_bytes, call);
      ready += HEADER + answer_bytes;
    }
    write_all(fd, out, ready);
    memmove(in, in + whole, have - whole);
    have -= whole;
  }
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void caller(int fd, uint32_t outstanding, double ms, size_t request_bytes) {
  char *in = malloc(BUFFER), *out = malloc((HEADER + request_bytes) * outstanding);
  double *began = malloc(sizeof(double) * outstanding);
  size_t room = 1 << 20, count = 0, have = 0, ready = 0;
  double *latencies = malloc(sizeof(double) * room);
  memset(out, 1, (HEADER + request_bytes) * outstanding);
  double start = now_us(), end = start + ms * 1e3;
  for (uint32_t call = 0; call < outstanding; call++) {
    make_header(out + ready, request_bytes, call);
    ready += HEADER + request_bytes;
    began[call] = start;
  }
  uint32_t open = outstanding;
  while (open > 0) {
    write_all(fd, out, ready);
    ready = 0;
    have = read_more(fd, in, have);
    size_t whole = whole_frames(in, have);
    double now = now_us();
    for (size_t at = 0; at < whole; at += frame_bytes(in + at)) {
      uint32_t call;
      memcpy(&call, in + at + 12, 4);
      if (count == room) latencies = realloc(latencies, sizeof(double) * (room *= 2));
      latencies[count++] = now - began[call];
      if (now >= end) {
        open--;
        continue;
      }
      make_header(out + ready, request_bytes, call);
      ready += HEADER + request_bytes;
      began[call] = now;
    }
    memmove(in, in + whole, have - whole);
    have -= whole;
  }
  double seconds = (now_us() - start) / 1e6;
  qsort(latencies, count, sizeof(double), by_value);
  printf("{\"count\":%zu,\"seconds\":%f,\"p50Us\":%f,\"p99Us\":%f", count, seconds, latencies[count / 2],
         latencies[count * 99 / 100]);
}

static double cpu_us(int who) {
  struct rusage usage;
  getrusage(who, &usage);
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  size_t request_bytes = atol(argv[3]), answer_bytes = atol(argv[4]);
  if (request_bytes > BUFFER / 2 || answer_bytes > BUFFER / 2) return 2;
  signal(SIGPIPE, SIG_IGN);
  int left[2], right[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, left) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, right) < 0) fail("socketpair");
  if (fork() == 0) {
    close(left[0]), close(left[1]), close(right[0]);
    server(right[1], answer_bytes);
  }
  if (fork() == 0) {
    close(left[0]), close(right[1]);
    broker(left[1], right[0]);
  }
  close(left[1]), close(right[0]), close(right[1]);
  caller(left[0], atol(argv[1]), atof(argv[2]), request_bytes);
  close(left[0]);
  while (wait(NULL) > 0)
    ;
  printf(",\"cpuUs\":%f}\n", cpu_us(RUSAGE_SELF) + cpu_us(RUSAGE_CHILDREN));
  return 0;
}
