/*
 * Runs a program, and makes one of its reads or writes short, as any filesystem may: the call gets half the length that it asks for, and really
 * reads or writes that much. strace cannot do this: it can only replace a result.
 *
 *   short_calls CALL NUMBER PROGRAM ARGUMENT...
 *
 * NUMBER is the call of that name that is short, of all threads; with a + behind it, all later ones are short too. It exits as the program does: with 128 and the number
 * of the signal if a signal ended it. 120 means that it cannot do this here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT = 120 };

#ifdef __x86_64__
/* The calls that take a length, and the number of that argument. */
static const struct {
  const char *name;
  unsigned long long number;
  int length;
} calls[] = {
    {"read", SYS_read, 3},         {"write", SYS_write, 3},           {"pread64", SYS_pread64, 3},
    {"pwrite64", SYS_pwrite64, 3}, {"sendfile", SYS_sendfile, 4},     {"splice", SYS_splice, 5},
    {"copy_file_range", SYS_copy_file_range, 5},
};

static unsigned long long *argument(struct user_regs_struct *registers, int number) {
  switch (number) {
  case 3:
    return &registers->rdx;
  case 4:
    return &registers->r10;
  default:
    return &registers->r8;
  }
}

static int trace(pid_t child, size_t call, const char *number) {
  char *end;
  const long wanted = strtol(number, &end, 10);
  const int later = *end == '+';
  const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  int status;
  long count = 0;
  if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
    return CANNOT;
  if (ptrace(PTRACE_SETOPTIONS, child, 0, options) != 0 || ptrace(PTRACE_SYSCALL, child, 0, 0) != 0)
    return CANNOT;
  for (;;) {
    pid_t thread = waitpid(-1, &status, __WALL);
    if (thread < 0)
      return CANNOT;
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (thread != child)
        continue;
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    int signal = WSTOPSIG(status);
    if (signal == (SIGTRAP | 0x80)) {
      struct __ptrace_syscall_info info;
      signal = 0;
      if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == calls[call].number) {
        count += 1;
        if (count == wanted || (later && count > wanted)) {
          struct user_regs_struct registers;
          if (ptrace(PTRACE_GETREGS, thread, 0, &registers) != 0)
            return CANNOT;
          unsigned long long *length = argument(&registers, calls[call].length);
          if (*length > 1)
            *length /= 2;
          if (ptrace(PTRACE_SETREGS, thread, 0, &registers) != 0)
            return CANNOT;
        }
      }
    } else if (signal == SIGTRAP || signal == SIGSTOP) {
      /* The start of a thread, or of the program. */
      signal = 0;
    }
    ptrace(PTRACE_SYSCALL, thread, 0, signal);
  }
}

int main(int count, char **arguments) {
  if (count < 4)
    return CANNOT;
  size_t call = 0;
  while (strcmp(calls[call].name, arguments[1]) != 0)
    if (++call == sizeof calls / sizeof *calls)
      return CANNOT;
  pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
      _exit(CANNOT);
    raise(SIGSTOP);
    execvp(arguments[3], arguments + 3);
    _exit(CANNOT);
  }
  return child < 0 ? CANNOT : trace(child, call, arguments[2]);
}
#else
int main(void) { return CANNOT; }
#endif
