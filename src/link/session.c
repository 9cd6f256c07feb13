/* Owns the life of one connection after another, from link_start() to link_is_closed().  What is read and written on it stands in
 * receive.c and transmit.c, its deadlines in timing.c; what is said in hello.c, inbound.c and outbox.c.  Invariant: the
 * socket is in the loop exactly while there is a connection. */
#include "link/session.h"

#include "base/assert.h"
#include "base/log.h"

#include <stdarg.h>
#include <string.h>

bool link_has_socket(const struct link *link)
{
    return loop_has(&link->socket);
}

/* --- states, words, ends --------------------------------------------------------------------- */

void link_enter(struct link *link, enum link_event event)
{
    enum link_state next = link_next_state(link->state, event);

    if (next == link->state)
        return;
    log_debug("link", "%s -> %s", link_state_name(link->state), link_state_name(next));
    link->state = next;
    link->since_ms = link->loop->wall_ms;
    link->state_at_ms = link->loop->now_ms;
}

void link_hide_secrets(const struct link *link, char *text)
{
    secret_hide(link->options.token_file, text);
    secret_hide(link->options.proxy->credentials_file, text);
}

static void set_error(struct link *link, const char *format, va_list args)
{
    struct out out = OUT_ON(link->last_error);

    out_vformat_cut(&out, format, args);
    out_cstr(&out);
    _Static_assert(sizeof link->last_error <= SECRET_TEXT, "all of it is looked at");
    link_hide_secrets(link, link->last_error);
}

void link_set_error(struct link *link, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_error(link, format, args);
    va_end(args);
}

static void drop_connection(struct link *link)
{
    connect_cancel(&link->connect);
    if (link_has_socket(link)) {
        link_count_traffic(link);
        transport_end(&link->transport);
        tls_end(&link->tls);
        loop_remove(link->loop, &link->socket);
        port_close(link->socket.fd);
    }
    loop_timer_clear(link->loop, &link->again);
    queue_clear(&link->queue);
    port_release(link->queue.bytes, sizeof link->queue.bytes);
    port_release(link->ws.output, sizeof link->ws.output);
    link->write_since_ms = 0;
    link->write_failed = link->is_held = link->is_waiting = link->finish_writes = false;
    /* Answers that are still due go nowhere from now on. */
    link->peer.generation++;
    link->peer.pending = 0;
}

/* The one end of every attempt and every connection; `after` and last_error are set. */
void link_finish(struct link *link)
{
    int64_t session_ms = link->session_at_ms == 0 ? 0 : link->loop->now_ms - link->session_at_ms;

    drop_connection(link);
    backoff_worked(&link->backoff, session_ms);
    link->drains =
        link->after == LINK_AFTER_DRAIN && session_ms < BACKOFF_STABLE_MS ? link->drains + 1 : 0;
    link->session_at_ms = 0;
    if (link->paused)
        link->host.on_paused(link->host.context, false);
    link->paused = false;
    if (link->after == LINK_AFTER_SUPERSEDED || link->after == LINK_AFTER_RETIRED) {
        link_enter(link,
                   link->after == LINK_AFTER_RETIRED ? LINK_EVENT_RETIRED : LINK_EVENT_SUPERSEDED);
        log_error("link", "%s: %s; no more dialling", link_state_name(link->state),
                  link->last_error);
        link->host.on_final(link->host.context, link->state);
    } else if (link->stopping || link->options.url_count == 0) {
        link_enter(link, LINK_EVENT_ENDED);
    } else {
        link_plan_retry(link);
        link_enter(link, LINK_EVENT_LOST);
    }
    /* The host may have appended something after the commit of this turn. */
    loop_wake(link->loop);
}

void link_lost(struct link *link, enum link_after after, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_error(link, format, args);
    va_end(args);
    link->after = after;
    link_finish(link);
}

/* Our close frame goes behind the frames that are written already; a message of which more is due is given up. */
static void begin_close(struct link *link, unsigned code, const char *reason)
{
    link->close_code = code;
    link->close_reason = reason;
    /* A request that waits for room is given up: nothing would be read behind it, the other side's close neither. */
    link->is_held = link->is_waiting = false;
    if (!link->finish_writes) {
        queue_clear(&link->queue);
        ws_close(&link->ws, code, reason);
    }
    link_enter(link, LINK_EVENT_CLOSE);
}

void link_close(struct link *link, unsigned code, const char *reason, enum link_after after,
                const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_error(link, format, args);
    va_end(args);
    link->after = after;
    begin_close(link, code, reason);
}

/* --- the interface --------------------------------------------------------------------------- */

static struct out *peer_begin(struct rpc_peer *peer)
{
    struct link *link = (struct link *)(void *)peer;
    return queue_begin(&link->queue, peer->message_max, false);
}

static void peer_end(struct rpc_peer *peer, bool ok)
{
    struct link *link = (struct link *)(void *)peer;
    queue_end(&link->queue, ok && link->state == LINK_CONNECTED);
}

static void take_options(struct link *link, const struct link_options *options)
{
    struct link_settings *settings = &link->options;
    const char *token = options->token_file != NULL ? options->token_file : "";

    ASSERT(options->proxy != NULL && options->tls != NULL);
    if (options->tls != settings->tls)
        tls_forget(&link->tls);
    settings->proxy = options->proxy;
    settings->tls = options->tls;
    (void)str_copy(str_of(token), settings->token_file, sizeof settings->token_file);
    settings->url_count = options->url_count;
    for (size_t i = 0; i < options->url_count; i++)
        (void)str_copy(str_of(options->urls[i]), settings->urls[i], sizeof settings->urls[i]);
    link->backoff.initial_ms =
        options->backoff_initial_ms > 0 ? options->backoff_initial_ms : BACKOFF_INITIAL_MS;
    link->backoff.max_ms = options->backoff_max_ms > 0 ? options->backoff_max_ms : BACKOFF_MAX_MS;
}

enum err link_start(struct link *link, struct loop *loop, struct journal *journal,
                    const struct link_host *host, const struct link_options *options)
{
    /* The large buffers stay untouched. */
    bytes_clear(link, offsetof(struct link, queue));
    queue_clear(&link->queue);
    link->queue.begun = false;
    tls_clear(&link->tls);
    link->loop = loop;
    link->journal = journal;
    link->host = *host;
    take_options(link, options);
    link->peer = (struct rpc_peer){
        .channel = RPC_GATEWAY, .message_max = LIMIT_MESSAGE, .begin = peer_begin, .end = peer_end};
    link->timer = (struct loop_timer){.on_due = link_on_timer, .context = link};
    link->again = (struct loop_timer){.on_due = link_on_again, .context = link};
    connect_init(&link->connect, loop, &link->ws, &link->transport, &link->tls, link->message,
                 sizeof link->message);
    link->connect.owner = link;
    link->since_ms = loop->wall_ms;
    link->hello_reason = host->start_reason != NULL ? host->start_reason : "start";
    link->round_trip_us = -1;
    outbox_start(&link->outbox);
    enum err err = ws_open(&link->ws, WS_CLIENT);
    if (err == OK && options->url_count > 0) {
        link->next_try_ms = loop->now_ms;
        link_enter(link, LINK_EVENT_CONFIGURED);
        link_schedule(link);
    }
    return err;
}

void link_end(struct link *link)
{
    link->stopping = true;
    drop_connection(link);
    loop_timer_clear(link->loop, &link->timer);
    link_enter(link, LINK_EVENT_ENDED);
    ws_free(&link->ws);
}

void link_attach(struct link *link)
{
    link->socket = (struct loop_fd){.fd = link->transport.fd,
                                    .wanted = PORT_READABLE,
                                    .on_ready = link_on_ready,
                                    .context = link};
    if (loop_add(link->loop, &link->socket) != OK) {
        transport_end(&link->transport);
        port_close(link->transport.fd);
        link_lost(link, LINK_AFTER_BACKOFF, "no room in the loop for the connection");
        return;
    }
    queue_clear(&link->queue);
    link->bytes_in_seen = link->ws.bytes_in;
    link->bytes_out_seen = link->ws.bytes_out;
    link->heard_ms = link->loop->now_ms;
    link->has_forked = false;
    link->hello_due = true;
    link->hello_count = 0;
    link->heartbeat_s = LINK_HEARTBEAT_S;
    link->after = LINK_AFTER_BACKOFF;
    link->after_ms = 0;
    link_enter(link, LINK_EVENT_UPGRADED);
    /* The gateway's first frames may have come with its answer. */
    loop_timer_set(link->loop, &link->again, link->loop->now_ms);
}

void link_after_commit(struct link *link)
{
    if (link_has_socket(link))
        link_write_out(link);
    link_schedule(link);
}

static bool same_urls(const struct link_settings *a, const struct link_options *b)
{
    if (a->url_count != b->url_count)
        return false;
    for (size_t i = 0; i < a->url_count; i++)
        if (strcmp(a->urls[i], b->urls[i]) != 0)
            return false;
    return true;
}

/* Ends what is under way, in order where there is a session; the next dial is at once. */
static void leave(struct link *link, const char *reason)
{
    link->after_ms = 0;
    link->finish_writes = link->state == LINK_CONNECTED;
    if (link->state == LINK_HELLO || link->state == LINK_CONNECTED)
        link_close(link, 1001, reason, LINK_AFTER_EXACT, "closed by us: %s", reason);
    else if (link->state == LINK_CLOSING)
        link->after = LINK_AFTER_EXACT;
    else
        link_lost(link, LINK_AFTER_EXACT, "given up by us: %s", reason);
}

void link_reconfigure(struct link *link, const struct link_options *options)
{
    bool same = same_urls(&link->options, options);

    take_options(link, options);
    if (!same)
        link->url_at = 0;
    if (link->state == LINK_SUPERSEDED || link->state == LINK_RETIRED || link->stopping)
        return;
    if (link->state == LINK_OFF && options->url_count > 0) {
        link->next_try_ms = link->loop->now_ms;
        link_enter(link, LINK_EVENT_CONFIGURED);
    } else if (link->state == LINK_WAITING && options->url_count > 0) {
        if (!same || link->watched != NULL)
            link->next_try_ms = link->loop->now_ms;
    } else if (link->state != LINK_OFF && !same) {
        leave(link, "the gateway's URL has changed");
    }
    link_schedule(link);
}

void link_stop(struct link *link)
{
    bool is_first = !link->stopping;

    link->stopping = true;
    if (is_first && link->state != LINK_OFF && link->state != LINK_SUPERSEDED &&
        link->state != LINK_RETIRED)
        leave(link, "the daemon stops");
    link_schedule(link);
}

bool link_is_closed(const struct link *link)
{
    return !link_has_socket(link) && (link->state == LINK_OFF || link->state == LINK_SUPERSEDED ||
                                      link->state == LINK_RETIRED);
}

uint64_t link_acked(const struct link *link)
{
    return link->outbox.acked;
}

enum link_state link_state(const struct link *link)
{
    return link->state;
}
