/* Owns the first words of a session: what we say of ourselves, and what we take from the answer.  Until the answer
 * is there, nothing else is sent and nothing else is taken. */
#include "link/session.h"

#include "base/log.h"
#include "base/time.h"

#include <string.h>

static const char *hello_id(const struct link *link)
{
    return link->hello_count > 1 ? "h2" : "h";
}

void link_write_hello(struct link *link)
{
    uint64_t next = journal_last_seq(link->journal) + 1, first = journal_first_seq(link->journal);

    link->hello_due = false;
    link->hello_count++;
    struct out *out = queue_begin(&link->queue, LIMIT_MESSAGE, true);
    struct json_writer w = rpc_begin_request(out, hello_id(link), "daemon.hello");
    json_object(&w);
    json_key(&w, "protocol");
    json_array(&w);
    json_i64(&w, 1);
    json_array_end(&w);
    link->host.write_hello(link->host.context, &w);
    json_put_text(&w, "reason", link->hello_reason);
    json_key(&w, "events");
    json_object(&w);
    json_put_u64(&w, "first", first < next ? first : next);
    json_put_u64(&w, "next", next);
    json_object_end(&w);
    json_key(&w, "clock");
    json_object(&w);
    link->hello_wall_ms = port_wall_ms();
    link->hello_us = port_monotonic_us();
    json_put_time(&w, "time", link->hello_wall_ms);
    json_put_bool(&w, "synced", port_clock_synced());
    json_object_end(&w);
    json_object_end(&w);
    rpc_end(&w);
    bool overflow = out->overflow;
    queue_end(&link->queue, true);
    if (overflow)
        link_close(link, 1011, "hello is too long", LINK_AFTER_SLOW,
                   "hello does not fit into a message of %d bytes", LIMIT_MESSAGE);
}

/* --- the answer ----------------------------------------------------------------------------------------------------- */

struct welcome {
    int64_t protocol, heartbeat_s, message_bytes, acked, ceiling;
    struct str limits, events;
    char gateway[LIMIT_KEY + 1];
    char acked_time[32];
};

static bool read_answer(struct str result, struct welcome *answer, struct json_field_error *error)
{
    static const struct json_field outer[] = {
        {"protocol", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct welcome, protocol), 0, 0,
         0},
        {"gateway", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct welcome, gateway),
         LIMIT_KEY + 1, 0, 0},
        {"limits", JSON_FIELD_OBJECT, JSON_NULLABLE, offsetof(struct welcome, limits), 0, 0, 0},
        {"heartbeat_s", JSON_FIELD_INTEGER, JSON_NULLABLE, offsetof(struct welcome, heartbeat_s), 0,
         1, 86400},
        {"events", JSON_FIELD_OBJECT, JSON_REQUIRED, offsetof(struct welcome, events), 0, 0, 0},
    };
    static const struct json_field limits[] = {
        {"message_bytes", JSON_FIELD_INTEGER, JSON_NULLABLE,
         offsetof(struct welcome, message_bytes), 0, OUTBOX_MESSAGE_MIN, INT64_MAX},
    };
    static const struct json_field events[] = {
        {"acked", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct welcome, acked), 0, 0,
         INT64_MAX},
        {"acked_time", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct welcome, acked_time), 32, 0,
         0},
        {"limit", JSON_FIELD_INTEGER, JSON_NULLABLE, offsetof(struct welcome, ceiling), 0, 0,
         INT64_MAX},
    };

    *answer = (struct welcome){
        .heartbeat_s = LINK_HEARTBEAT_S, .message_bytes = LIMIT_MESSAGE, .ceiling = -1};
    if (json_type(result) != JSON_OBJECT) {
        (void)str_copy(STR("result"), error->path, sizeof error->path);
        (void)str_copy(STR("must be an object"), error->reason, sizeof error->reason);
        return false;
    }
    if (json_read(result, outer, sizeof outer / sizeof outer[0], answer, error) != OK)
        return false;
    return (answer->limits.n == 0 || json_read(answer->limits, limits, 1, answer, error) == OK) &&
           json_read(answer->events, events, sizeof events / sizeof events[0], answer, error) == OK;
}

/* Whether the gateway knows another stream than ours under this name: it has what we never said, or another event
 * under a seq that we hold. */
static bool has_parted(struct link *link, const struct welcome *answer)
{
    uint64_t acked = (uint64_t)answer->acked, seq;
    struct journal_cursor cursor;
    struct str time;
    size_t need;
    bool parted;

    if (acked > journal_last_seq(link->journal))
        return true;
    if (acked == 0 || acked < journal_first_seq(link->journal) || answer->acked_time[0] == '\0')
        return false;
    cursor = journal_cursor_after(link->journal, acked - 1);
    struct out *scratch = queue_begin(&link->queue, LIMIT_MESSAGE, true);
    parted = journal_next(link->journal, &cursor, scratch, &seq, &need) == OK && seq == acked &&
             json_member(out_view(scratch), "time", &time) &&
             !json_string_is(time, answer->acked_time);
    queue_end(&link->queue, false);
    return parted;
}

static void fork_stream(struct link *link)
{
    if (link->has_forked) {
        link_close(link, 4400, "the streams part again", LINK_AFTER_SLOW,
                   "the gateway says of our new id, too, that it knows other events");
        return;
    }
    log_warning(
        "link",
        "the gateway knows another stream of events under our id (a restored backup, a copied disk?); "
        "going on under a new id");
    link->has_forked = true;
    link->hello_reason = "forked"; /* until a gateway has heard it, on whichever connection */
    link->hello_due = true;
    link->state_at_ms = link->loop->now_ms; /* a new hello, a new deadline */
    link->host.on_forked(link->host.context);
}

/* The gateway has written its time between our writing and our reading, in the middle as far as we know.  A clock that
 * cannot be read is told by no figure, and is no reason to leave. */
static void compare_clocks(struct link *link, struct str result)
{
    int64_t theirs, ours = link->hello_wall_ms + (port_wall_ms() - link->hello_wall_ms) / 2;
    struct str clock, time;
    char text[32];

    link->knows_clock = json_member(result, "clock", &clock) && json_member(clock, "time", &time) &&
                        json_string_copy(time, text, sizeof text) &&
                        time_read(str_of(text), &theirs);
    if (link->knows_clock)
        link->clock_offset_ms = theirs - ours;
}

static void welcome(struct link *link, const struct welcome *answer)
{
    uint64_t acked = (uint64_t)answer->acked;
    uint64_t ceiling = answer->ceiling < 0 ? OUTBOX_NO_CEILING : (uint64_t)answer->ceiling;
    size_t message_max =
        answer->message_bytes < LIMIT_MESSAGE ? (size_t)answer->message_bytes : LIMIT_MESSAGE;

    link->heartbeat_s = (unsigned)answer->heartbeat_s;
    link->sessions++;
    link->hello_reason = "reconnect";
    link->session_at_ms = link->loop->now_ms;
    link->pinged_ms = link->loop->now_ms;
    link->peer.generation++;
    link->peer.pending = 0;
    link->peer.message_max = message_max;
    (void)str_copy(str_of(answer->gateway), link->peer.by, sizeof link->peer.by);
    outbox_begin_session(&link->outbox, link->journal, acked, ceiling, message_max);
    link_enter(link, LINK_EVENT_WELCOME);
    log_info("link", "connected to %s at %s; it has the events up to %llu", answer->gateway,
             link->options.urls[link->url_at], (unsigned long long)acked);
    if (link->host.on_session != NULL)
        link->host.on_session(link->host.context, answer->gateway);
    if (link->host.on_acked != NULL)
        link->host.on_acked(link->host.context, acked);
}

struct refusal {
    int64_t code;
    struct str message;
};

static void take_refusal(struct link *link, struct str error)
{
    static const struct json_field fields[] = {
        {"code", JSON_FIELD_INTEGER, 0, offsetof(struct refusal, code), 0, 0, 0},
        {"message", JSON_FIELD_STRING, 0, offsetof(struct refusal, message), 0, 0, 0},
    };
    struct refusal refusal = {.code = 0};
    struct json_field_error problem;
    char words[161];

    (void)json_read(error, fields, 2, &refusal, &problem);
    struct out out = out_on(words, sizeof words - 1);
    if (!json_string_decode(refusal.message, &out))
        out_reset(&out);
    words[out.n] = '\0';
    link_close(link, 1000, "",
               refusal.code == RPC_UNAUTHORIZED ? LINK_AFTER_TOKEN : LINK_AFTER_SLOW,
               "the gateway refused hello: %lld %s", (long long)refusal.code, words);
}

void link_take_hello(struct link *link, const struct rpc_envelope *envelope)
{
    struct json_field_error error = {{0}, {0}};
    struct welcome answer;

    if (link->has_forked && envelope->kind != RPC_RESPONSE) {
        /* Said to the daemon of our old name, before the gateway heard of the new one. */
        log_debug("link", "%s of the gateway was for our old id", envelope->method);
        return;
    }
    if (envelope->kind != RPC_RESPONSE || !json_string_is(envelope->id, hello_id(link)) ||
        link->hello_due || link->queue.own) {
        link_close(link, 4400, "the answer to hello comes first", LINK_AFTER_SLOW,
                   "the gateway said something else before its answer to hello");
    } else if (envelope->error.n > 0) {
        take_refusal(link, envelope->error);
    } else if (!read_answer(envelope->result, &answer, &error)) {
        link_close(link, 4400, "the answer to hello is not valid", LINK_AFTER_SLOW,
                   "the gateway's answer to hello is not valid: %s %s", error.path, error.reason);
    } else if (answer.protocol != 1) {
        link_close(link, 4426, "protocol 1 is what we speak", LINK_AFTER_SLOW,
                   "the gateway chose protocol %lld, which we do not speak",
                   (long long)answer.protocol);
    } else if (has_parted(link, &answer)) {
        fork_stream(link);
    } else {
        link->round_trip_us = port_monotonic_us() - link->hello_us;
        compare_clocks(link, envelope->result);
        link_hide_secrets(link, answer.gateway);
        welcome(link, &answer);
    }
}
