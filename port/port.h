/* The whole platform in one header.  Everything that src/ wants of the operating system is here,
 * so that port/posix can be read in a sitting, port/linux can replace a file of it by name, and a
 * simulator can stand in.
 *
 * Rules that hold for every function:
 *  - No call blocks but port_wait(), the file syncs, and what says so.
 *  - EINTR never comes out: calls are retried where POSIX allows that.
 *  - Short counts are normal: read and write say in an out-parameter how many bytes went through.
 *    "Nothing now" is ERR_AGAIN, the end is ERR_END; asked for at least one byte, a count of 0 with
 *    OK does not happen.
 *  - Descriptors are close-on-exec and never 0, 1 or 2; those for the loop are non-blocking.  One
 *    that select() cannot watch (>= FD_SETSIZE) is closed again and refused with ERR_FULL, as is
 *    one that the system has no room for.  Where a call fails, the descriptor that it should have
 *    made is -1.
 *  - On failure port_last_error() has the system's words until the next call into the port. */
#ifndef PORT_H
#define PORT_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The system's phrase for the last failure ("No such file or directory"); static storage. */
const char *port_last_error(void);
/* The errno-like number behind it, for messages alone. */
int port_last_errno(void);

/* --- clocks (clock.c, synced.c) -------------------------------------------------------------- */

/* Never steps; stops with the machine at most; origin unspecified. */
int64_t port_monotonic_ms(void);
int64_t port_monotonic_us(void);
/* Unix time; may step. */
int64_t port_wall_ms(void);
/* Whether the system says that its clock is disciplined; false where unknown. */
bool port_clock_synced(void);

/* --- random (random.c) ----------------------------------------------------------------------- */

/* Unpredictable bytes from the system.  ERR_IO where there is no source: then nothing that needs
 * them may go on.  Blocks only in the first moments after boot. */
enum err port_random(void *bytes, size_t n);

/* --- files (file.c, directory.c, preallocate.c) ---------------------------------------------- */

enum port_open {
    PORT_READ,       /* must exist */
    PORT_READ_WRITE, /* must exist */
    PORT_CREATE,     /* read and write; made when missing, mode 0600 */
    PORT_CREATE_NEW, /* the same, ERR_EXISTS when there */
    PORT_TRUNCATE    /* made or emptied, write only */
};

enum port_kind { PORT_FILE, PORT_DIRECTORY, PORT_SYMLINK, PORT_SOCKET, PORT_OTHER };

struct port_stat {
    enum port_kind kind;
    int64_t size; /* bytes */
    int64_t mtime_ms;
    int64_t uid; /* of its owner */
    uint64_t inode, device;
    bool exposed;    /* others than its owner and group may read or write it */
    bool executable; /* by this process (port_stat), by anybody (port_stat_fd) */
};

enum err port_open(const char *path, enum port_open how, int *fd);
void port_close(int fd);
enum err port_read(int fd, void *to, size_t n, size_t *got); /* ERR_AGAIN, ERR_END */
enum err port_write(int fd, struct str bytes, size_t *put);  /* ERR_AGAIN, ERR_REFUSED (EPIPE) */
/* At an offset; reads until n bytes or the end of the file: *got < n only there. */
enum err port_read_at(int fd, void *to, size_t n, int64_t offset, size_t *got);
/* Writes all or fails (ERR_NO_SPACE, ERR_READ_ONLY, ERR_IO); *put says how much stands in the file
 * after a failure (a short write, then an error). */
enum err port_write_at(int fd, struct str bytes, int64_t offset, size_t *put);
/* fdatasync: data and what is needed to find it; blocks. */
enum err port_sync(int fd);
/* Makes the names in it durable; blocks. */
enum err port_sync_directory(const char *path);
enum err port_truncate(int fd, int64_t size);
/* Reserves disk space for [0, size): the file's size and what is read from it stay as they are (on
 * Linux that is FALLOC_FL_KEEP_SIZE).  ERR_UNSUPPORTED where the file system has no such call, or
 * where, on plain POSIX, the file is shorter than `size`.  What was reserved beyond the end may go
 * with the next port_truncate(). */
enum err port_preallocate(int fd, int64_t size);
enum err port_stat(const char *path, struct port_stat *stat); /* follows links; ERR_NOT_FOUND */
enum err port_stat_fd(int fd, struct port_stat *stat);
enum err port_rename(const char *from, const char *to); /* replaces */
enum err port_unlink(const char *path);
enum err port_make_directory(const char *path, unsigned mode); /* ERR_EXISTS */
enum err port_remove_directory(const char *path);              /* ERR_EXISTS: not empty */
enum err port_set_mode(const char *path, unsigned mode);
enum err port_set_owner(const char *path, int64_t uid, int64_t gid);
enum err port_symlink(const char *target, const char *path);
/* An absolute path without links and dots; ERR_TOO_LARGE when it does not fit. */
enum err port_real_path(const char *path, char *to, size_t size);
enum err port_current_directory(char *to, size_t size);
/* Reads a whole small file; ERR_TOO_LARGE when it holds more than size bytes (then *got = size).
 * Blocks where path is a pipe. */
enum err port_read_file(const char *path, char *to, size_t size, size_t *got);
/* The same for whoever must not block: what is no regular file is refused (ERR_INVALID). */
enum err port_read_regular_file(const char *path, char *to, size_t size, size_t *got);

/* Calls `each` for every name in the directory but "." and ".."; a false from it ends the walk.
 * Blocks as the file system does.  Beside Linux it uses the system's directory stream, which may
 * allocate. */
enum err port_list(const char *path, bool (*each)(void *context, const char *name), void *context);

/* An exclusive lock on an open file, released when the process closes any descriptor of that file,
 * or dies: so open it once.  It does not pass to forked children; take it after
 * port_background_start().  ERR_BUSY when another process holds it; *holder then is its pid, or 0
 * where the platform cannot tell. */
enum err port_lock(int fd, int64_t *holder);

/* --- standard streams (terminal.c, columns.c) ------------------------------------------------ */

/* stdout and stderr of a command-line program.  Both block; stderr, which is also the daemon's log,
 * drops what a non-blocking one does not take, stdout waits.  ERR_REFUSED: nobody reads any more
 * (where SIGPIPE is ignored). */
void port_stderr(struct str bytes);
enum err port_stdout(struct str bytes);
bool port_is_terminal(int fd);
/* Columns of the terminal on fd, or 0. */
int port_terminal_columns(int fd);
/* Throws away what was typed at the terminal and not read yet, half a line included. */
void port_terminal_discard(int fd);

/* --- sockets (socket.c, local.c, address.c, resolve.c) ------------------------------------------ */

/* One numeric address with port, as helpers pass it through a pipe. */
struct port_address {
    unsigned char bytes[32]; /* a sockaddr_in or sockaddr_in6 */
    unsigned char size;
};

struct port_credentials {
    int64_t uid, pid; /* pid 0 where the platform does not say */
};

/* The longest path for port_listen_local, without NUL (107 on Linux). */
size_t port_local_path_max(void);
/* Mode 0600 from the first moment.  ERR_EXISTS: the path is there, in use or not. */
enum err port_listen_local(const char *path, int backlog, int *fd);
/* Connects (which may block while the backlog is full), then becomes non-blocking.  ERR_NOT_FOUND;
 * ERR_REFUSED: nobody listens. */
enum err port_connect_local(const char *path, int *fd);
/* ERR_UNSUPPORTED where the platform cannot tell: then the socket's mode is the only guard. */
enum err port_peer(int fd, struct port_credentials *peer);
/* host "" or "*" listens on all; numeric addresses alone (without brackets), else ERR_INVALID.
 * ERR_EXISTS: in use.  *port_bound gets the port (for port 0). */
enum err port_listen_tcp(struct str host, unsigned port, int backlog, int *fd,
                         unsigned *port_bound);
/* ERR_AGAIN: nobody waits.  ERR_FULL: no descriptor left; the client may still be waiting and the
 * listener stay readable, so stop watching it until a descriptor was closed. */
enum err port_accept(int listener, int *fd);
/* Starts a connection: OK or ERR_AGAIN with *fd set; once it is writable, port_connected() tells
 * the outcome: OK, ERR_AGAIN (not yet), ERR_REFUSED, ERR_TIMEOUT, ERR_IO (no route). */
enum err port_connect_tcp(const struct port_address *address, int *fd);
enum err port_connected(int fd);
/* No delay; keepalive after so many idle seconds, and, where the platform has it, the time after
 * which unacknowledged data kills the connection; 0: as the system does it.  Where the platform can,
 * it takes only so many bytes ahead of what the network does: on a slow one, megabytes of its
 * buffers would stand before whatever is urgent. */
#define PORT_TCP_UNSENT 16384
void port_tune_tcp(int fd, int keepalive_s, int user_timeout_ms);
/* Shuts the sending side down: the peer reads the end. */
void port_shutdown_write(int fd);
/* A numeric address as text (no brackets, no zone): 4 bytes of IPv4 or 16 of IPv6 in network order. */
bool port_address_bytes(const char *text, unsigned char bytes[16], size_t *n);
/* "192.0.2.1:80", "[::1]:80" */
enum err port_address_text(const struct port_address *address, char *to, size_t size);
/* Blocks for as long as the resolver likes and may allocate: helpers only.  ERR_NOT_FOUND with
 * *reason set.  Without CONFIG_RESOLVE (resolve_none.c) addresses and "localhost" alone are found. */
enum err port_resolve(const char *host, unsigned port, struct port_address *list, size_t max,
                      size_t *count, const char **reason);
/* One datagram to a local socket (sd_notify); path "@name" is the abstract namespace where there is
 * one. */
enum err port_notify(const char *path, struct str bytes);

/* --- processes (spawn.c, helper.c, process.c, orphan.c, user.c, names.c, confine.c, background.c)  */

struct port_spawn {
    /* NULL-terminated; argv[0] is looked up in PATH of `env` when it has no '/'. */
    const char *const *argv;
    /* NULL-terminated "NAME=value"; the child has nothing else. */
    const char *const *env;
    /* A relative argv[0] starts here; NULL: ours. */
    const char *directory;
    /* Resource limits of the child (setrlimit); 0 leaves our own.  memory_bytes is address space,
     * processes is what the system counts for the whole user; where the platform has no such limit
     * it is left out. */
    int64_t memory_bytes, cpu_s, open_files, processes;
    /* Added to our own nice value, and to our own score with which the system picks whom to end
     * when memory runs out (where there is such a thing); the child's are never below ours. */
    int nice, oom_score;
    /* Becomes this user and group alone; needs root.  Otherwise ours. */
    bool changes_user;
    int64_t uid, gid;
    /* NULL-terminated directories in which the child may create, change and remove; it may then
     * read and execute what its user may, change nothing elsewhere, gain no privileges, and signal
     * or trace no process but its own.  The system's temporary directories and devices are always
     * among them, those that are missing do not count.  NULL: as free as we are; so is every child
     * where port_confinement() is 0. */
    const char *const *writable;
};

struct port_child {
    int64_t pid;      /* leads its own session and process group */
    int in, out, err; /* our ends of its stdin, stdout, stderr */
};

/* Starts a program with default signal dispositions, nothing blocked, only fds 0, 1 and 2, and
 * others barred from writing to its files unless it says otherwise (umask 022 at least).  Its
 * failure to exec is reported here (ERR_NOT_FOUND, ERR_DENIED, ERR_IO: not executable code), not as
 * an exit code, and leaves nothing to reap; so is a user that it cannot become (ERR_DENIED).  A
 * script must begin with "#!".  Takes until the exec; where the platform has vfork, nothing of us
 * is copied for it.  Where the platform can, the child is killed when we die. */
enum err port_spawn(const struct port_spawn *what, struct port_child *child);
/* How children can be confined: the version of the kernel's Landlock, or 0 where this system or
 * this build has none. */
int port_confinement(void);
/* Numbers of a user and its main group, or of a group; names, or numbers as text.  For helpers: may
 * allocate and ask servers.  Without CONFIG_USER_NAMES (names_none.c) numbers alone are taken, and a
 * user's group has the same number. */
enum err port_find_user(const char *user, int64_t *uid, int64_t *gid);
enum err port_find_group(const char *group, int64_t *gid);

/* Forks a helper that runs `work(context, fd)` with the write end of a pipe and exits with its
 * answer (0..255).  It leads its own process group, has fds 0-2 and the pipe alone, default signals
 * but for SIGPIPE (ignored), no core file, cpu_s seconds of CPU time (0: any) and, where the
 * platform can tell what it has, an address space of memory_bytes above that (0: any).  *fd is our
 * non-blocking read end.  Where the platform can, the helper is killed when we die. */
enum err port_fork_helper(int (*work)(void *context, int fd), void *context, unsigned cpu_s,
                          size_t memory_bytes, int64_t *pid, int *fd);
/* The same, with one more of our descriptors: `keep` is its fd 4. */
enum err port_fork_helper_keeping(int (*work)(void *context, int fd), void *context, unsigned cpu_s,
                                  size_t memory_bytes, int keep, int64_t *pid, int *fd);

/* A pid below 2 is left alone.  The number of a group may become another's once it is empty and its
 * leader was reaped: signal it before that, or in the same turn. */
enum port_signal { PORT_TERM, PORT_KILL, PORT_CONTINUE };
void port_kill_group(int64_t pid, enum port_signal signal);
void port_kill(int64_t pid, enum port_signal signal);
/* Whether any process is left in the group that pid led; the dead count until they are reaped. */
bool port_group_exists(int64_t pid);

/* The next dead child: its pid, and exactly one of exit code (>= 0) and signal (> 0; the other -1).
 * ERR_AGAIN: none dead now; ERR_END: no children at all. */
enum err port_reap(int64_t *pid, int *exit_code, int *signal);
const char *port_signal_name(int signal); /* "SIGSEGV", or "unknown" */

/* Where the platform has it: this process inherits orphaned descendants (true when it does).  Every
 * spawned program does so as well, for as long as it lives: what comes to us has outlived the
 * program that it belonged to. */
bool port_become_subreaper(void);
/* Whether a limit of memory binds here: some systems know none, and an emulator may take it and
 * forget it. */
bool port_limits_memory(void);
/* Calls `each` for every child of ours, dead ones that were not reaped included; ERR_UNSUPPORTED where
 * the platform cannot tell. */
enum err port_children(void (*each)(void *context, int64_t pid), void *context);
/* Calls `each` for all processes but this one whose environment holds exactly NAME=value;
 * ERR_UNSUPPORTED where the platform cannot tell.  For start-up: may allocate. */
bool port_is_marked(int64_t pid, const char *name_and_value);
enum err port_find_marked(const char *name_and_value, void (*each)(void *context, int64_t pid),
                          void *context);

int64_t port_pid(void);
int64_t port_uid(void);
const char *port_environment(const char *name); /* NULL when unset; lives as long as the process */
/* Goes to the background (fork, setsid); the parent waits until the child calls
 * port_background_ready(), then exits 0, or with the child's exit code when it dies first (1 where
 * that is 0).  Until it is ready the child keeps the standard streams; then they become /dev/null,
 * but for a stdout or stderr that is a regular file.  Comes before port_lock() and all that knows
 * our pid. */
enum err port_background_start(void);
void port_background_ready(void);
_Noreturn void port_exit(int code); /* without atexit handlers: for helpers */

/* --- waiting (wait.c) ------------------------------------------------------------------------ */

enum { PORT_READABLE = 1, PORT_WRITABLE = 2 };

struct port_watch {
    int fd;
    unsigned char wanted; /* bits of PORT_READABLE and PORT_WRITABLE; 0: not watched */
    unsigned char ready;  /* out */
};

/* Installs the handlers and blocks their signals but in port_wait(), which they wake: SIGCHLD, SIGTERM, SIGINT, SIGHUP.  SIGPIPE and
 * SIGXFSZ are ignored. */
enum err port_signals_start(void);

struct port_signals {
    unsigned terminate; /* SIGTERM and SIGINT since the last call, each once at most */
    unsigned reload;    /* SIGHUP */
    bool child;         /* SIGCHLD */
};

/* Waits until something is ready, a signal came, or timeout_ms passed (-1: no limit; 0: looks
 * once); it may also come back earlier with nothing.  Sets every `ready`, and *signals (NULL: they
 * are kept for the next call).  ERR_FULL: a descriptor is too large for select(); ERR_IO: one is
 * closed.  A signal that comes before the wait is not lost. */
enum err port_wait(struct port_watch *watches, size_t count, int64_t timeout_ms,
                   struct port_signals *signals);

/* --- processor (processor.c) ----------------------------------------------------------------- */

/* Whether it has SSE4.2, and with that an instruction for CRC-32C; asked once, then remembered. */
bool port_has_sse42(void);
/* SHA-256 by the processor's own instructions; false where it has none: then nothing was done. */
bool port_sha256(struct str bytes, unsigned char digest[32]);

/* --- the pipes of an integration (pipe.c) ----------------------------------------------------- */

/* For programs on the SDK, which bring pipe.c and clock.c alone: no words are kept for
 * port_last_error(), and nothing but these calls is used. */

/* Moves stdin and stdout to descriptors above 2 that children do not get.  Then fd 0 reads nothing
 * and fd 1 goes where fd 2 goes. */
enum err port_pipe_take(int *in, int *out);
/* Blocks until something comes; ERR_END. */
enum err port_pipe_read(int fd, void *to, size_t n, size_t *got);
/* Blocks until all is written; ERR_REFUSED: nobody reads any more (where SIGPIPE is ignored). */
enum err port_pipe_write(int fd, struct str bytes);
/* Waits until `in` is readable or `fd` is ready for one of `wanted` (PORT_READABLE, PORT_WRITABLE),
 * or has an end or an error to tell, at most timeout_ms (-1: for ever).  Either may be -1.  ERR_AGAIN:
 * the time is over. */
enum err port_pipe_wait(int in, int fd, unsigned wanted, int64_t timeout_ms, bool *in_ready,
                        bool *fd_ready);

/* --- memory (memory.c, wipe.c), wear of the disk (wear.c) ------------------------------------ */

/* From now on port_write_at(), port_sync() and port_sync_directory() count, ours and those of helpers that are forked later. */
void port_wear_begin(void);
/* Bytes that were written into files since, and calls that waited for the disk; false: nothing is counted. */
bool port_wear(uint64_t *bytes, uint64_t *syncs);

/* Tells the system that whole pages inside [p, p+n) need not be kept: they read as zeros or as
 * before.  Only for buffers without initial contents that are logically empty. */
void port_release(void *p, size_t n);
/* The same for what the stack once reached to below its present end. */
void port_release_stack(void);
/* Private dirty bytes of this process, or -1 where unknown, also where an emulator shows its own
 * in their place.  May block on /proc: for status alone. */
int64_t port_memory_private(void);
/* Overwrites with zeros so that the compiler keeps it. */
void port_wipe(void *p, size_t n);

#endif
