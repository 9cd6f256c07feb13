/* Owns sockets that are being connected.  Invariant: an attempt is in the loop exactly while its descriptor is open and
 * undecided; after on_done or dial_cancel() nothing of the dial is in the loop. */
#include "link/dial.h"

#include "base/assert.h"

#include <string.h>

static void start_next(struct dial *dial);

/* --- resolving ------------------------------------------------------------------------------------------------------ */

/* In the helper: the addresses, each as a byte of size and 32 bytes; or the reason, with exit code 1. */
static int resolve(void *context, struct out *answer)
{
    struct dial *dial = context;
    struct port_address list[DIAL_ADDRESSES];
    const char *reason;
    size_t count;

    if (port_resolve(dial->host, dial->port, list, DIAL_ADDRESSES, &count, &reason) != OK) {
        out_text(answer, reason);
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        out_byte(answer, (char)list[i].size);
        out_str(answer, str_range((const char *)list[i].bytes, sizeof list[i].bytes));
    }
    return 0;
}

/* Takes the families in turn, beginning with the one that the resolver prefers. */
static void order_by_family(struct port_address *list, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        size_t j = i;
        while (j < count && list[j].size == list[i - 1].size)
            j++;
        if (j == count)
            return;
        struct port_address other = list[j];
        memmove(&list[i + 1], &list[i], (j - i) * sizeof list[0]);
        list[i] = other;
    }
}

static bool read_addresses(struct dial *dial, struct str answer)
{
    size_t size = 1 + sizeof dial->addresses[0].bytes;

    dial->count = answer.n / size;
    if (dial->count == 0 || dial->count > DIAL_ADDRESSES || answer.n % size != 0)
        return false;
    for (size_t i = 0; i < dial->count; i++) {
        struct port_address *address = &dial->addresses[i];
        address->size = (unsigned char)answer.p[i * size];
        if (address->size > sizeof address->bytes)
            return false;
        memcpy(address->bytes, answer.p + i * size + 1, sizeof address->bytes);
    }
    order_by_family(dial->addresses, dial->count);
    return true;
}

/* --- connecting ----------------------------------------------------------------------------------------------------- */

static void drop(struct dial *dial, struct loop_fd *attempt)
{
    loop_remove(dial->loop, attempt);
    port_close(attempt->fd);
    attempt->fd = -1;
}

/* Ends everything but the connection that is kept. */
static void clear(struct dial *dial)
{
    for (size_t i = 0; i < DIAL_AT_ONCE; i++)
        if (loop_has(&dial->attempts[i]))
            drop(dial, &dial->attempts[i]);
    loop_timer_clear(dial->loop, &dial->stagger);
    loop_timer_clear(dial->loop, &dial->deadline);
    dial->connecting = false;
}

static void end(struct dial *dial, enum err err, int fd)
{
    clear(dial);
    dial->handler.on_done(dial, err, fd);
}

static void note_failure(struct dial *dial, size_t address)
{
    char where[80];
    char why[128];

    (void)str_copy(str_head(str_of(port_last_error()), sizeof why - 1), why, sizeof why);
    if (port_address_text(&dial->addresses[address], where, sizeof where) != OK)
        where[0] = '\0';
    struct out out = OUT_ON(dial->error);
    out_format(&out, "cannot connect to %s: %s", where, why);
    out_cstr(&out);
}

static void on_writable(struct loop_fd *attempt, unsigned ready)
{
    struct dial *dial = attempt->context;
    enum err err = port_connected(attempt->fd);

    (void)ready;
    if (err == ERR_AGAIN)
        return;
    if (err == OK) {
        int fd = attempt->fd;
        loop_remove(dial->loop, attempt);
        end(dial, OK, fd);
        return;
    }
    note_failure(dial, dial->tries[attempt - dial->attempts]);
    drop(dial, attempt);
    start_next(dial);
}

static struct loop_fd *free_attempt(struct dial *dial)
{
    for (size_t i = 0; i < DIAL_AT_ONCE; i++)
        if (!loop_has(&dial->attempts[i]))
            return &dial->attempts[i];
    return NULL;
}

static bool any_attempt(const struct dial *dial)
{
    for (size_t i = 0; i < DIAL_AT_ONCE; i++)
        if (loop_has(&dial->attempts[i]))
            return true;
    return false;
}

/* Starts attempts until one is under way. */
static void start_next(struct dial *dial)
{
    struct loop_fd *attempt = free_attempt(dial);
    bool started = false;

    while (attempt != NULL && dial->next < dial->count && !started) {
        size_t address = dial->next++;
        int fd;
        enum err err = port_connect_tcp(&dial->addresses[address], &fd);
        if (err == OK || err == ERR_AGAIN) {
            /* Even one that has connected at once is told from the loop: on_done is never called from dial_start(). */
            *attempt = (struct loop_fd){
                .fd = fd, .wanted = PORT_WRITABLE, .on_ready = on_writable, .context = dial};
            dial->tries[attempt - dial->attempts] = address;
            dial->began_ms[attempt - dial->attempts] = dial->loop->now_ms;
            started = loop_add(dial->loop, attempt) == OK;
            if (!started) {
                port_close(fd);
                struct out out = OUT_ON(dial->error);
                out_text(&out, "cannot connect: no room in the loop");
                out_cstr(&out);
            }
        } else {
            note_failure(dial, address);
        }
    }
    if (!any_attempt(dial)) {
        end(dial, ERR_REFUSED, -1);
        return;
    }
    if (dial->next < dial->count)
        loop_timer_set(dial->loop, &dial->stagger, dial->loop->now_ms + DIAL_STAGGER_MS);
}

/* Addresses that swallow everything must not keep the others from their turn. */
static void give_up_oldest(struct dial *dial)
{
    size_t oldest = 0;

    for (size_t i = 1; i < DIAL_AT_ONCE; i++)
        if (dial->began_ms[i] < dial->began_ms[oldest])
            oldest = i;
    if (dial->loop->now_ms - dial->began_ms[oldest] >= dial->deadline_ms / DIAL_SHARE)
        drop(dial, &dial->attempts[oldest]);
}

static void on_stagger(struct loop_timer *timer)
{
    struct dial *dial = timer->context;

    if (free_attempt(dial) == NULL)
        give_up_oldest(dial);
    start_next(dial);
}

static void on_deadline(struct loop_timer *timer)
{
    struct dial *dial = timer->context;
    char where[80];
    struct out out = OUT_ON(dial->error);

    if (port_address_text(&dial->addresses[0], where, sizeof where) != OK)
        where[0] = '\0';
    out_format(&out, "cannot connect to %s%s: no answer within %lld s", where,
               dial->count > 1 ? " nor to its other addresses" : "",
               (long long)(dial->deadline_ms / 1000));
    out_cstr(&out);
    end(dial, ERR_TIMEOUT, -1);
}

static void on_resolved(struct helper *helper, enum err outcome, struct str answer, int exit_code)
{
    struct dial *dial = helper->owner;

    if (outcome != OK || exit_code != 0 || !read_addresses(dial, answer)) {
        struct out out = OUT_ON(dial->error);
        out_format(&out, "cannot resolve %s: %.*s", dial->host, STR_ARG(str_head(answer, 120)));
        out_cstr(&out);
        end(dial, outcome == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_NOT_FOUND, -1);
        return;
    }
    dial->connecting = true;
    dial->next = 0;
    dial->stagger = (struct loop_timer){.on_due = on_stagger, .context = dial};
    dial->deadline = (struct loop_timer){.on_due = on_deadline, .context = dial};
    loop_timer_set(dial->loop, &dial->deadline, dial->loop->now_ms + dial->deadline_ms);
    dial->handler.on_resolved(dial);
    start_next(dial);
}

enum err dial_start(struct dial *dial, struct loop *loop, const struct url *url,
                    int64_t deadline_ms, const struct dial_handler *handler)
{
    struct helper_job job = {.work = resolve,
                             .context = dial,
                             .timeout_ms = deadline_ms,
                             .buffer = dial->answer,
                             .size = sizeof dial->answer,
                             .on_done = on_resolved};

    ASSERT(!helper_running(&dial->helper) && !dial->connecting);
    dial->handler = *handler;
    dial->loop = loop;
    dial->deadline_ms = deadline_ms;
    dial->host = url->host;
    dial->port = url->port;
    dial->error[0] = '\0';
    dial->helper.owner = dial;
    enum err err = helper_start(loop, &dial->helper, &job);
    if (err == OK)
        return OK;
    struct out out = OUT_ON(dial->error);
    out_format(&out, "cannot start a process to resolve %s: %.100s", dial->host, port_last_error());
    out_cstr(&out);
    return ERR_IO;
}

void dial_cancel(struct dial *dial)
{
    if (dial->loop == NULL)
        return;
    helper_cancel(&dial->helper);
    if (dial->connecting)
        clear(dial);
}
