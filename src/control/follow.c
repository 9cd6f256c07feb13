/* Subscriptions to events (run.events): each is a cursor over the journal, and copies what is synced into its client's buffer as far as there is
 * room.  It never writes to a socket, and never waits for a client: a slow one costs a cursor. */
#include "control/client.h"

#include "base/log.h"

#include <string.h>

static void end_follow(struct control_client *client)
{
    struct out *out = client->peer.begin(&client->peer);
    struct json_writer w = rpc_begin_notification(out, "events.end");
    json_object(&w);
    json_put_u64(&w, "last", client->follow.last);
    json_object_end(&w);
    rpc_end(&w);
    client->peer.end(&client->peer, true);
    client->follow.active = false;
}

static void tell_gap(struct control_client *client, uint64_t first)
{
    struct out *out = client->peer.begin(&client->peer);
    struct json_writer w = rpc_begin_notification(out, "events.gap");
    json_object(&w);
    json_put_u64(&w, "from", client->follow.after + 1);
    json_put_u64(&w, "to", first - 1);
    json_put_text(&w, "reason", "held no longer");
    json_object_end(&w);
    rpc_end(&w);
    client->peer.end(&client->peer, true);
}

static bool is_of_run(struct str event, const char *run_id)
{
    struct str raw;
    return json_member(event, "run_id", &raw) && json_string_is(raw, run_id);
}

static bool ends_run(struct str event)
{
    struct str raw;
    return json_member(event, "type", &raw) &&
           (json_string_is(raw, "run.succeeded") || json_string_is(raw, "run.failed") ||
            json_string_is(raw, "run.cancelled") || json_string_is(raw, "run.denied"));
}

#define FRAME_HEAD "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"event\":"
#define FRAME_TAIL "}}\n"

/* Copies one event.  ERR_END: nothing new; ERR_FULL: no room now. */
static enum err tell_event(struct control_client *client, bool *done)
{
    struct control_follow *follow = &client->follow;
    struct out *out = &client->out;
    size_t begun = out->n, need;
    uint64_t seq;

    if (out_room(out) < sizeof FRAME_HEAD + sizeof FRAME_TAIL)
        return ERR_FULL;
    out_str(out, STR(FRAME_HEAD));
    size_t start = out->n;
    out->cap -= sizeof FRAME_TAIL;
    enum err err = journal_next(client->control->journal, &follow->cursor, out, &seq, &need);
    out->cap += sizeof FRAME_TAIL;
    if (err != OK) {
        out_truncate(out, begun);
        return err;
    }
    struct str event = str_range(out->p + start, out->n - start);
    if (follow->run_id[0] != '\0' && !is_of_run(event, follow->run_id)) {
        out_truncate(out, begun);
        return OK;
    }
    follow->last = seq;
    *done = follow->run_id[0] != '\0' && ends_run(event);
    out_str(out, STR(FRAME_TAIL));
    return OK;
}

#define EVENTS_PER_TURN 256

void follow_tell(struct control_client *client)
{
    struct control_follow *follow = &client->follow;
    uint64_t first = journal_first_seq(client->control->journal);
    bool done = false;
    enum err err = OK;

    if (!follow->active || client->peer.pending > 0 || client->is_holding)
        return;
    if (follow->cursor.next_seq < first) {
        if (out_room(&client->out) < 512)
            return;
        tell_gap(client, first);
        follow->cursor = journal_cursor_after(client->control->journal, first - 1);
        follow->after = first - 1;
    }
    for (int i = 0; i < EVENTS_PER_TURN && err == OK && !done; i++)
        err = tell_event(client, &done);
    if (err == OK && !done) {
        loop_wake(client->control->loop); /* more stands there, for the next turn */
        return;
    }
    if (err == ERR_FULL && client->out.n > 0) {
        loop_wake(
            client->control->loop); /* it may be written at once, and nothing else may happen */
        return;
    }
    if (err != OK && err != ERR_END) {
        log_error("control", "events cannot be read back: %s; the client is closed", err_text(err));
        client->closing = true;
        return;
    }
    if ((done || !follow->follow) && out_room(&client->out) >= 512) {
        end_follow(client);
    } else if (done || !follow->follow) {
        follow->follow = false; /* nothing more is wanted; the end is told when there is room */
        loop_wake(client->control->loop);
    }
}

struct events_params {
    char run_id[LIMIT_RUN_ID + 1];
    int64_t after;
    bool follow;
};

void control_on_events(struct control *control, struct rpc_call *call, struct str params)
{
    static const struct json_field fields[] = {
        {"run_id", JSON_FIELD_TEXT, JSON_NULLABLE, offsetof(struct events_params, run_id),
         LIMIT_RUN_ID + 1, 0, 0},
        {"after", JSON_FIELD_INTEGER, JSON_NULLABLE, offsetof(struct events_params, after), 0, 0,
         INT64_MAX},
        {"follow", JSON_FIELD_BOOLEAN, JSON_NULLABLE, offsetof(struct events_params, follow), 0, 0,
         0},
    };
    struct events_params read = {.after = 0};
    struct control_client *client = client_of(call->peer);
    struct rpc_error error;
    uint64_t created_seq = 1;
    bool ended = false;

    if (!rpc_params(call, params, fields, sizeof fields / sizeof fields[0], &read))
        return;
    if (client->follow.active) {
        rpc_error_set(&error, RPC_WRONG_STATE,
                      "this connection follows events already; open another");
        rpc_answer_error(call, &error);
        return;
    }
    if (read.run_id[0] != '\0' &&
        !control->find_run(control->find_run_context, read.run_id, &created_seq, &ended)) {
        rpc_error_set(&error, RPC_NOT_FOUND, "no run \"%s\" is known here", read.run_id);
        struct out data = OUT_ON(error.data);
        struct json_writer w = json_writer(&data);
        json_object(&w);
        json_put_text(&w, "what", "run");
        json_put_text(&w, "id", read.run_id);
        json_object_end(&w);
        out_cstr(&data);
        rpc_answer_error(call, &error);
        return;
    }
    uint64_t after = (uint64_t)read.after;
    /* Nothing of a run stands before its first event. */
    if (read.run_id[0] != '\0' && after < created_seq - 1)
        after = created_seq - 1;
    /* Of a run that has ended nothing more can come, even where the caller has had its last event. */
    client->follow = (struct control_follow){.active = true,
                                             .follow = read.follow && !ended,
                                             .after = after,
                                             .last = (uint64_t)read.after};
    memcpy(client->follow.run_id, read.run_id, sizeof read.run_id);
    client->follow.cursor = journal_cursor_after(control->journal, after);
    rpc_answer_raw(call, STR("{}"));
}
