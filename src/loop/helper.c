/* Owns running helpers, from the fork to the one call of on_done.  Invariant: a helper is in
 * loop->helpers exactly while its pid is not 0, and only then are its pipe and its deadline in the
 * loop. */
#include "loop/helper.h"

#include "base/assert.h"

/* --- in the child --------------------------------------------------------------------------- */

static void write_all(int fd, struct str bytes)
{
    size_t put;

    while (bytes.n > 0 && port_write(fd, bytes, &put) == OK)
        bytes = str_from(bytes, put);
}

static int run_work(void *context, int fd)
{
    const struct helper_job *job = context;
    struct out answer = out_on(job->buffer, job->size);
    int exit_code = job->work(job->context, &answer);

    write_all(fd, out_view(&answer));
    if (answer.overflow) {
        /* One byte more than the parent has room for tells it as much. */
        for (size_t left = answer.cap - answer.n + 1; left > 0; left--)
            write_all(fd, STR(" "));
    }
    return exit_code;
}

/* --- in the parent -------------------------------------------------------------------------- */

static void close_pipe(struct helper *helper)
{
    if (!helper->ended) {
        loop_remove(helper->loop, &helper->pipe);
        port_close(helper->pipe.fd);
        helper->ended = true;
    }
}

/* After this the helper is free for another start. */
static void forget(struct helper *helper)
{
    close_pipe(helper);
    loop_timer_clear(helper->loop, &helper->deadline);
    if (helper->previous != NULL)
        helper->previous->next = helper->next;
    else
        helper->loop->helpers = helper->next;
    if (helper->next != NULL)
        helper->next->previous = helper->previous;
    helper->next = helper->previous = NULL;
    helper->pid = 0;
}

/* The words live on the stack, as on_done may start the helper again. */
static void fail(struct helper *helper, enum err outcome)
{
    char text[128];
    struct out words = OUT_ON(text);

    ASSERT(outcome != OK);
    switch (outcome) {
    case ERR_TIMEOUT:
        out_format(&words, "no answer within %lld ms", (long long)helper->job.timeout_ms);
        break;
    case ERR_TOO_LARGE:
        out_format(&words, "the answer is over %zu bytes", helper->job.size);
        break;
    default:
        if (helper->signal > 0)
            out_format(&words, "the helper process died of %s (signal %d)",
                       port_signal_name(helper->signal), helper->signal);
        else
            out_format(&words, "the answer could not be read: %.60s", port_last_error());
        break;
    }
    forget(helper);
    helper->job.on_done(helper, outcome, out_view(&words), -1);
}

/* Goes on when the answer has ended and the child is dead. */
static void finish(struct helper *helper)
{
    if (!helper->ended || !helper->reaped)
        return;
    if (helper->signal > 0) {
        fail(helper, ERR_IO);
        return;
    }
    struct str answer = {helper->job.buffer, helper->n};
    forget(helper);
    helper->job.on_done(helper, OK, answer, helper->exit_code);
}

static void stop(struct helper *helper)
{
    if (!helper->reaped) {
        port_kill_group(helper->pid, PORT_KILL);
        port_kill(helper->pid, PORT_KILL);
    }
}

static void on_pipe(struct loop_fd *node, unsigned ready)
{
    struct helper *helper = node->context;
    size_t got, room = helper->job.size - helper->n;
    char beyond;
    enum err err;

    (void)ready;
    if (room > 0)
        err = port_read(node->fd, helper->job.buffer + helper->n, room, &got);
    else
        err = port_read(node->fd, &beyond, 1, &got);
    if (err == ERR_AGAIN)
        return;
    if (err == ERR_END) {
        close_pipe(helper);
        finish(helper);
    } else if (err != OK || room == 0) {
        stop(helper);
        fail(helper, err != OK ? ERR_IO : ERR_TOO_LARGE);
    } else {
        helper->n += got;
    }
}

static void on_deadline(struct loop_timer *timer)
{
    struct helper *helper = timer->context;

    stop(helper);
    fail(helper, ERR_TIMEOUT);
}

enum err helper_start(struct loop *loop, struct helper *helper, const struct helper_job *job)
{
    int fd;

    ASSERT(helper->pid == 0 && job->timeout_ms > 0 && job->on_done != NULL);
    helper->loop = loop;
    helper->job = *job;
    enum err err =
        port_fork_helper_keeping(run_work, &helper->job, job->cpu_s, job->memory_bytes,
                                 job->keep_fd > 0 ? job->keep_fd : -1, &helper->pid, &fd);
    if (err != OK)
        return err == ERR_FULL ? ERR_FULL : ERR_IO;
    helper->pipe =
        (struct loop_fd){.fd = fd, .wanted = PORT_READABLE, .on_ready = on_pipe, .context = helper};
    err = loop_add(loop, &helper->pipe);
    if (err != OK) {
        stop(helper);
        port_close(fd);
        helper->pid = 0;
        return err;
    }
    helper->n = 0;
    helper->ended = helper->reaped = false;
    helper->exit_code = helper->signal = -1;
    helper->deadline = (struct loop_timer){.on_due = on_deadline, .context = helper};
    loop_timer_set(loop, &helper->deadline, loop->now_ms + job->timeout_ms);
    helper->previous = NULL;
    helper->next = loop->helpers;
    if (helper->next != NULL)
        helper->next->previous = helper;
    loop->helpers = helper;
    return OK;
}

bool helper_running(const struct helper *helper)
{
    return helper->pid != 0;
}

void helper_cancel(struct helper *helper)
{
    if (helper->pid == 0)
        return;
    stop(helper);
    forget(helper);
}

bool helper_knows(const struct loop *loop, int64_t pid)
{
    const struct helper *helper = loop->helpers;

    while (helper != NULL && helper->pid != pid)
        helper = helper->next;
    return helper != NULL;
}

bool helper_reaped(struct loop *loop, int64_t pid, int exit_code, int signal)
{
    for (struct helper *helper = loop->helpers; helper != NULL; helper = helper->next) {
        if (helper->pid != pid)
            continue;
        helper->reaped = true;
        helper->exit_code = exit_code;
        helper->signal = signal;
        finish(helper);
        return true;
    }
    return false;
}
