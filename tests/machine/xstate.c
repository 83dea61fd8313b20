/* Lets user-mode-linux run on processors with large extended states (AMX).
 *
 * The small machine's kernel keeps a process's vector registers in a buffer of fixed size, and sets
 * them with ptrace(PTRACE_SETREGSET, NT_X86_XSTATE). Hosts want the whole state in that call, or
 * answer EFAULT, and with AMX the whole is larger than the buffer; the machine then dies at its
 * first process ("ptrace set fp regs failed, errno = 14"). Preloaded into it, this wrapper reads the
 * whole state, lays the machine's part over its beginning, and sets the whole. Where the buffer is
 * large enough that comes to the same as before.
 *
 *     cc -O1 -shared -fPIC -o xstate.so xstate.c;  LD_PRELOAD=./xstate.so linux.uml ...
 *
 * ptrace(2); Linux arch/x86/kernel/fpu/regset.c, xstateregs_set().
 */
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long ask(long request, long pid, void *addr, void *data)
{
	return syscall(SYS_ptrace, request, pid, addr, data);
}

static long set_whole_state(long pid, void *kind, const struct iovec *part)
{
	static char whole[1 << 16] __attribute__((aligned(64)));
	struct iovec state = { whole, sizeof whole };

	if (ask(PTRACE_GETREGSET, pid, kind, &state) < 0)
		return -1;
	memcpy(whole, part->iov_base, part->iov_len < state.iov_len ? part->iov_len : state.iov_len);
	return ask(PTRACE_SETREGSET, pid, kind, &state);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list rest;
	long pid;
	void *addr, *data;

	va_start(rest, request);
	pid = va_arg(rest, pid_t);
	addr = va_arg(rest, void *);
	data = va_arg(rest, void *);
	va_end(rest);

	if (request == PTRACE_SETREGSET && (long)addr == NT_X86_XSTATE)
		return set_whole_state(pid, addr, data);
	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
		/* The kernel writes the word to `data`; the C library's function returns it. */
		long word;
		return ask(request, pid, addr, &word) < 0 ? -1 : word;
	}
	return ask(request, pid, addr, data);
}
