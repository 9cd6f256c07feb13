/* Owns what is done to processes that exist: signals, reaping, and what we are ourselves.  A pid
 * below 2 is never signalled: 0 is our own group, -1 everybody, 1 not ours. */
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int number_of(enum port_signal signal)
{
    switch (signal) {
    case PORT_KILL:
        return SIGKILL;
    case PORT_CONTINUE:
        return SIGCONT;
    case PORT_TERM:
    default:
        return SIGTERM;
    }
}

void port_kill_group(int64_t pid, enum port_signal signal)
{
    if (pid > 1)
        kill((pid_t)-pid, number_of(signal));
}

void port_kill(int64_t pid, enum port_signal signal)
{
    if (pid > 1)
        kill((pid_t)pid, number_of(signal));
}

bool port_group_exists(int64_t pid)
{
    return pid > 1 && (kill((pid_t)-pid, 0) == 0 || errno == EPERM);
}

enum err port_reap(int64_t *pid, int *exit_code, int *signal)
{
    int status;
    pid_t dead;

    *pid = 0;
    *exit_code = *signal = -1;
    do
        dead = waitpid(-1, &status, WNOHANG);
    while (dead == -1 && errno == EINTR);
    if (dead == 0)
        return ERR_AGAIN;
    if (dead == -1)
        return errno == ECHILD ? ERR_END : port_fail();
    *pid = (int64_t)dead;
    if (WIFSIGNALED(status))
        *signal = WTERMSIG(status);
    else
        *exit_code = WEXITSTATUS(status);
    return OK;
}

void port_reap_one(int64_t pid)
{
    while (waitpid((pid_t)pid, NULL, 0) == -1 && errno == EINTR)
        ;
}

const char *port_signal_name(int signal)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {SIGHUP, "SIGHUP"},   {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"},     {SIGILL, "SIGILL"},
        {SIGTRAP, "SIGTRAP"}, {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},       {SIGFPE, "SIGFPE"},
        {SIGKILL, "SIGKILL"}, {SIGUSR1, "SIGUSR1"}, {SIGSEGV, "SIGSEGV"},     {SIGUSR2, "SIGUSR2"},
        {SIGPIPE, "SIGPIPE"}, {SIGALRM, "SIGALRM"}, {SIGTERM, "SIGTERM"},     {SIGXCPU, "SIGXCPU"},
        {SIGXFSZ, "SIGXFSZ"}, {SIGSYS, "SIGSYS"},   {SIGVTALRM, "SIGVTALRM"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].number == signal)
            return names[i].name;
    return "unknown";
}

int64_t port_pid(void)
{
    return (int64_t)getpid();
}

int64_t port_uid(void)
{
    return (int64_t)geteuid();
}

const char *port_environment(const char *name)
{
    return getenv(name);
}

_Noreturn void port_exit(int code)
{
    _exit(code);
}
