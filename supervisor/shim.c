/* The program between a spawn and its command: what supervisor/wrapper.py has several programs do one after the other,
 * in one, which stays as small as can be. It may be started as root. It reads its arguments, and nothing else; it has no
 * memory but its stack, no library, and looks at what each call says.
 *
 *     mcp-shim 1 --parent PID [OPTION ...] -- COMMAND [ARGUMENT ...]
 *
 * The first argument is the number of this form, so that a program of another version is noticed. COMMAND is a path.
 *
 * Without a namespace it moves into the cgroup, becomes the user, asks to be killed when the supervisor dies, looks
 * whether the supervisor had died just before that, sets limits, and becomes the command.
 *
 * With one it does the same, but stays: it is the **leader**, and waits for the first process of the namespace, its
 * **init**, which is a fork of it. The init asks to be killed when the leader dies, looks whether the leader had died
 * just before that, forks the command, reaps whoever dies, and ends with the command and its status.
 *
 * How an init that sees no parent knows that its leader lives: both have a pipe, and the leader alone its writing end. A
 * process that dies closes its files before it signals its children (do_exit in the kernel's exit.c). So when the pipe
 * is still open after the init has asked for the signal, the signal is still to come; else the init leaves.
 *
 * Exit status: that of the command, or 128 and the signal that ended it; 124 when the supervisor or the leader had died,
 * 125 when something could not be set up, 126 when the command cannot be executed, 127 when there is none. All but 124
 * say why on stderr.
 */

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/sched.h>

enum { GONE = 124, NOT_SET_UP = 125, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };
enum inside { NOTHING, NAMESPACE, USER_NAMESPACE };

#define NONE (-1L)
#define SAME (-1L) /* setresuid(2): as it is */

struct plan {
    long parent;             /* the supervisor's pid */
    const char *cgroup;      /* the cgroup.procs to move into, or 0 */
    long uid, gid;           /* or NONE */
    int no_new_privs;
    enum inside inside;
    long open_files;         /* soft and hard, or NONE */
    long soft_open_files;    /* or NONE */
    long file_size;          /* bytes, or NONE */
    char **command;          /* what stands before it may be written over */
    char **environment;
};

/* Calls of the kernel. Each returns what the kernel does: an error as a number below zero (syscall(2)). */

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n\thlt\n");

static long call(long number, long a, long b, long c, long d, long e) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x30, #0\n\tmov x0, sp\n\tbl begin\n\tbrk #0\n");

static long call(long number, long a, long b, long c, long d, long e) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory", "cc");
    return x0;
}
#else
#error "this processor is not known here; the shells do it"
#endif

#define CALL(name, a, b, c, d, e) \
    call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

static void __attribute__((noreturn)) leave(int status) {
    for (;;)
        CALL(exit_group, status, 0, 0, 0, 0);
}

/* What is said, and what is read. */

static long length(const char *text) {
    long count = 0;
    while (text[count])
        count++;
    return count;
}

static int same(const char *one, const char *other) {
    while (*one && *one == *other)
        one++, other++;
    return *one == *other;
}

static void say(const char *text) {
    (void)CALL(write, 2, text, length(text), 0, 0); /* where nobody listens, the status has to do */
}

/* Writes `number`, which is not negative, before `end`; returns where it begins. 20 bytes hold any. */
static char *decimal(long number, char *end) {
    *--end = 0;
    do
        *--end = (char)('0' + number % 10);
    while (number /= 10);
    return end;
}

static void __attribute__((noreturn)) fail(const char *what, const char *which, long error, int status) {
    char digits[24];
    say("mcp-shim: ");
    say(what);
    if (which) {
        say(" ");
        say(which);
    }
    if (error < 0) {
        say(error == -ENOENT ? ": not found, error " : error == -EACCES ? ": permission denied, error " : ": error ");
        say(decimal(-error, digits + sizeof digits));
    }
    say("\n");
    leave(status);
}

/* `result`, unless it is an error: then that is the end. */
static long must(long result, const char *what) {
    if (result < 0)
        fail(what, 0, result, NOT_SET_UP);
    return result;
}

/* A number of an argument, not above `most`. */
static long number(const char *text, long most) {
    long value = 0;
    if (!*text)
        fail("a number is missing", 0, 0, NOT_SET_UP);
    for (const char *at = text; *at; at++) {
        int digit = *at - '0';
        if (digit < 0 || digit > 9 || value > (most - digit) / 10)
            fail("not such a number:", text, 0, NOT_SET_UP);
        value = value * 10 + digit;
    }
    return value;
}

/* Writes all of `text` at once into a file that is there; 0, or the error. */
static long write_file(const char *path, const char *text) {
    long fd = CALL(openat, AT_FDCWD, path, O_WRONLY | O_TRUNC | O_CLOEXEC, 0, 0);
    if (fd < 0)
        return fd;
    long size = length(text);
    long written = CALL(write, fd, text, size, 0, 0);
    long closed = CALL(close, fd, 0, 0, 0, 0);
    if (written != size)
        return written < 0 ? written : -EIO;
    return closed;
}

/* What is given up and what is asked for. */

static void move_into(const char *cgroup) {
    long error = write_file(cgroup, "0\n");
    if (error < 0)
        fail("cannot move into", cgroup, error, NOT_SET_UP);
}

/* Without memory the kernel is to end children first; where it cannot be said, so be it. Before the change of user,
 * after which the file is no longer ours. */
static void be_the_first_to_go(void) {
    (void)write_file("/proc/self/oom_score_adj", "500\n");
}

static void drop_capabilities(int all) {
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    header.version = _LINUX_CAPABILITY_VERSION_3;
    header.pid = 0;
    must(CALL(capget, &header, data, 0, 0, 0), "cannot read the capabilities");
    for (int word = 0; word < _LINUX_CAPABILITY_U32S_3; word++) {
        data[word].inheritable = 0;
        if (all)
            data[word].effective = data[word].permitted = 0;
    }
    must(CALL(capset, &header, data, 0, 0, 0), "cannot drop the capabilities");
}

static void become_user(const struct plan *plan) {
    if (plan->uid != NONE)
        must(CALL(setgroups, 0, 0, 0, 0, 0), "cannot drop the groups");
    if (plan->gid != NONE)
        must(CALL(setresgid, plan->gid, plan->gid, plan->gid, 0, 0), "cannot become the group");
    if (plan->uid != NONE) {
        must(CALL(setresuid, plan->uid, plan->uid, plan->uid, 0, 0), "cannot become the user");
        drop_capabilities(plan->uid != 0);
    }
    if (plan->no_new_privs)
        must(CALL(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "cannot rule out new privileges");
}

/* After the change of user, which would take it off again (prctl(2)). */
static void die_with_parent(void) {
    must(CALL(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "cannot ask for the parent's death");
}

static void die_with_supervisor(const struct plan *plan) {
    die_with_parent();
    if (CALL(getppid, 0, 0, 0, 0, 0) != plan->parent)
        leave(GONE);
}

static void limit(unsigned resource, long soft, long hard) {
    struct rlimit64 wanted;
    must(CALL(prlimit64, 0, resource, 0, &wanted, 0), "cannot read a limit");
    wanted.rlim_cur = (unsigned long)soft;
    if (hard != SAME)
        wanted.rlim_max = (unsigned long)hard;
    must(CALL(prlimit64, 0, resource, &wanted, 0, 0), "cannot set a limit");
}

static void __attribute__((noreturn)) become_command(const struct plan *plan) {
    if (plan->open_files != NONE)
        limit(RLIMIT_NOFILE, plan->open_files, plan->open_files);
    else if (plan->soft_open_files != NONE)
        limit(RLIMIT_NOFILE, plan->soft_open_files, SAME);
    if (plan->file_size != NONE)
        limit(RLIMIT_FSIZE, plan->file_size, plan->file_size);
    char **command = plan->command;
    char *path = command[0];
    long error = CALL(execve, path, command, plan->environment, 0, 0);
    if (error == -ENOEXEC) { /* a script that names no interpreter, which is a shell's: execvp(3) */
        command[-1] = "/bin/sh";
        error = CALL(execve, "/bin/sh", command - 1, plan->environment, 0, 0);
    }
    fail("cannot execute", path, error, error == -ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

/* The namespace. */

/* Wait until `pid` has ended, and reap whoever else does; returns its status as wait(2) gives it. */
static int reap_until(long pid) {
    for (;;) {
        int status;
        long ended = CALL(wait4, -1, &status, 0, 0, 0);
        if (ended == pid)
            return status;
        if (ended != -EINTR)
            must(ended, "cannot wait");
    }
}

static int signal_of(int status) { return status & 0x7f; }
static int code_of(int status) { return status >> 8 & 0xff; }

/* The user and the group are the same inside as outside (user_namespaces(7)). */
static void map(const char *path, long id) {
    char line[48], digits[24];
    char *at = line;
    for (int time = 0; time < 2; time++) {
        for (char *digit = decimal(id, digits + sizeof digits); *digit; digit++)
            *at++ = *digit;
        *at++ = ' ';
    }
    *at++ = '1';
    *at = 0;
    must(write_file(path, line), "cannot map the user");
}

static void mount_proc(void) {
    must(CALL(mount, "none", "/", 0, MS_REC | MS_PRIVATE, 0), "cannot keep mounts to itself");
    must(CALL(mount, "proc", "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, 0), "cannot mount /proc");
}

static void __attribute__((noreturn)) be_init(
    const struct plan *plan, const int leader_lives[2], long uid, long gid, const unsigned long *signals) {
    must(CALL(close, leader_lives[1], 0, 0, 0, 0), "cannot close a pipe");
    if (plan->inside == USER_NAMESPACE) {
        must(write_file("/proc/self/setgroups", "deny"), "cannot rule out other groups");
        map("/proc/self/uid_map", uid);
        map("/proc/self/gid_map", gid);
    }
    mount_proc();
    be_the_first_to_go();
    if (plan->inside == NAMESPACE)
        become_user(plan);
    else if (uid != 0)
        drop_capabilities(1); /* which it had in the user namespace, to mount */
    die_with_parent();
    char byte;
    if (CALL(read, leader_lives[0], &byte, 1, 0, 0) != -EAGAIN)
        leave(GONE);
    must(CALL(close, leader_lives[0], 0, 0, 0, 0), "cannot close a pipe");
    /* It may be the command's user, who could stop it, or write into its memory that it is to outlive the leader. */
    must(CALL(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0), "cannot be closed to its command"); /* an exec opens that again */
    long command = must(CALL(clone, SIGCHLD, 0, 0, 0, 0), "cannot fork");
    if (command == 0) {
        must(CALL(rt_sigprocmask, SIG_SETMASK, signals, 0, sizeof *signals, 0), "cannot take signals");
        become_command(plan);
    }
    int status = reap_until(command);
    leave(signal_of(status) ? 128 + signal_of(status) : code_of(status));
}

static void __attribute__((noreturn)) lead(const struct plan *plan) {
    int leader_lives[2];
    unsigned long signals, withheld = ~0UL; /* the command, whose group this is in, decides what a signal to all does */
    unsigned long namespaces = CLONE_NEWPID | CLONE_NEWNS;
    long uid = CALL(geteuid, 0, 0, 0, 0, 0), gid = CALL(getegid, 0, 0, 0, 0, 0); /* neither can fail */
    if (plan->inside == USER_NAMESPACE) {
        namespaces |= CLONE_NEWUSER;
        must(CALL(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0), "cannot own its files in /proc"); /* as after an exec */
    }
    must(CALL(pipe2, leader_lives, O_CLOEXEC | O_NONBLOCK, 0, 0, 0), "cannot make a pipe");
    must(CALL(rt_sigprocmask, SIG_BLOCK, &withheld, &signals, sizeof signals, 0), "cannot withhold signals");
    long init = must(CALL(clone, SIGCHLD | namespaces, 0, 0, 0, 0), "cannot make a PID namespace");
    if (init == 0)
        be_init(plan, leader_lives, uid, gid, &signals);
    must(CALL(close, leader_lives[0], 0, 0, 0, 0), "cannot close a pipe");
    int status = reap_until(init);
    if (!signal_of(status))
        leave(code_of(status));
    if (CALL(kill, CALL(getpid, 0, 0, 0, 0, 0), signal_of(status), 0, 0, 0) < 0)
        say("mcp-shim: cannot end as its init did\n");
    leave(128 + signal_of(status));
}

/* The arguments. */

static void read_option(struct plan *plan, char ***at) {
    const long most = (long)(~0UL >> 1), most_id = 0xfffffffeL;
    const char *name = *(*at)++;
    if (same(name, "--no-new-privs")) {
        plan->no_new_privs = 1;
    } else if (same(name, "--pid-namespace")) {
        plan->inside = NAMESPACE;
    } else if (same(name, "--user-namespace")) {
        plan->inside = USER_NAMESPACE;
    } else {
        char *value = *(*at)++;
        if (!value)
            fail("a value is missing after", name, 0, NOT_SET_UP);
        if (same(name, "--parent"))
            plan->parent = number(value, most);
        else if (same(name, "--cgroup"))
            plan->cgroup = value;
        else if (same(name, "--uid"))
            plan->uid = number(value, most_id);
        else if (same(name, "--gid"))
            plan->gid = number(value, most_id);
        else if (same(name, "--open-files"))
            plan->open_files = number(value, most);
        else if (same(name, "--soft-open-files"))
            plan->soft_open_files = number(value, most);
        else if (same(name, "--file-size"))
            plan->file_size = number(value, most);
        else
            fail("no such option:", name, 0, NOT_SET_UP);
    }
}

static struct plan read_arguments(long count, char **arguments) {
    struct plan plan = {
        .parent = NONE, .cgroup = 0, .uid = NONE, .gid = NONE, .no_new_privs = 0, .inside = NOTHING,
        .open_files = NONE, .soft_open_files = NONE, .file_size = NONE,
        .command = 0, .environment = arguments + count + 1,
    };
    char **at = arguments + 2;
    if (count < 2 || !same(arguments[1], "1"))
        fail("it is of another version", 0, 0, NOT_SET_UP);
    while (*at && !same(*at, "--"))
        read_option(&plan, &at);
    if (!*at || !at[1] || plan.parent == NONE)
        fail("a parent and a command are needed", 0, 0, NOT_SET_UP);
    plan.command = at + 1;
    return plan;
}

/* What `_start` calls; `stack` is as the kernel leaves it: the arguments' count, these, 0, the environment, 0. */
void __attribute__((noreturn, used)) begin(long *stack) {
    struct plan plan = read_arguments(stack[0], (char **)(stack + 1));
    if (plan.cgroup)
        move_into(plan.cgroup);
    if (plan.inside == NOTHING)
        be_the_first_to_go();
    if (plan.inside != NAMESPACE) /* a namespace of root's needs root to be made */
        become_user(&plan);
    die_with_supervisor(&plan);
    if (plan.inside == NOTHING)
        become_command(&plan);
    lead(&plan);
}
