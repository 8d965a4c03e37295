/* exit PID: makes another process call exit_group(0), as if it had found nothing left to do. */
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

int main(int argc, char **argv) {
  pid_t pid = argc == 2 ? atoi(argv[1]) : 0;
  if (pid <= 0) {
    fputs("usage: exit PID\n", stderr);
    return 2;
  }
  if (ptrace(PTRACE_SEIZE, pid, 0, 0) != 0) fail("PTRACE_SEIZE");
  if (ptrace(PTRACE_INTERRUPT, pid, 0, 0) != 0) fail("PTRACE_INTERRUPT");
  if (waitpid(pid, NULL, __WALL) != pid) fail("waitpid");
  struct user_regs_struct registers;
  struct iovec all = {&registers, sizeof registers};
  if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &all) != 0) fail("PTRACE_GETREGSET");
#if defined(__x86_64__)
  registers.orig_rax = -1; /* The system call that it was in is not made again. */
  registers.rax = SYS_exit_group;
  registers.rdi = 0;
  uintptr_t at = registers.rip;
  long code = 0x050f; /* syscall */
#elif defined(__aarch64__)
  registers.regs[8] = SYS_exit_group;
  registers.regs[0] = 0;
  uintptr_t at = registers.pc;
  long code = 0xd4000001; /* svc #0 */
  int none = -1;
  struct iovec syscall = {&none, sizeof none};
  if (ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &syscall) != 0) fail("NT_ARM_SYSTEM_CALL");
#else
#error "which instruction makes a system call?"
#endif
  if (ptrace(PTRACE_POKETEXT, pid, at, code) != 0) fail("PTRACE_POKETEXT");
  if (ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &all) != 0) fail("PTRACE_SETREGSET");
  int status;
  do {
    /* It stops once more for a signal on its way, as Go's runtime sends them to its own threads: that is dropped. */
    if (ptrace(PTRACE_CONT, pid, 0, 0) != 0) fail("PTRACE_CONT");
    if (waitpid(pid, &status, __WALL) != pid) fail("waitpid");
  } while (WIFSTOPPED(status));
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}
