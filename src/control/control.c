#include "control/control.h"

#include "base/assert.h"
#include "base/log.h"
#include "port.h"

#include <string.h>

#define PARTIAL_MS 30000 /* contract §5: half a line older than that closes the client */
#define READS_PER_TURN 4

/* --- a client's place ---------------------------------------------------------------------------------------------------- */

static struct control_client *client_of(struct rpc_peer *peer)
{
    return (struct control_client *)(void *)((char *)peer - offsetof(struct control_client, peer));
}

static bool is_open(const struct control_client *client)
{
    return client->open;
}

/* Answers are begun only while everything before them has been written, or while a request was put off and nothing else is let in. */
static struct out *on_begin(struct rpc_peer *peer)
{
    struct control_client *client = client_of(peer);
    client->begun = client->out.n;
    return &client->out;
}

static void on_end(struct rpc_peer *peer, bool ok)
{
    struct control_client *client = client_of(peer);
    if (!ok) {
        out_truncate(&client->out, client->begun);
        return;
    }
    out_byte(&client->out, '\n');
    ASSERT(!client->out.overflow);
}

static void close_client(struct control_client *client)
{
    loop_remove(client->control->loop, &client->node);
    port_close(client->node.fd);
    client->open = false;
    client->peer.generation++; /* answers that are still being worked on have nobody to go to */
    client->peer.pending = 0;
    client->control->count--;
    client->control->listener.wanted = PORT_READABLE;
    port_release(client->in, sizeof client->in);
    port_release(client->bytes, sizeof client->bytes);
}

/* --- requests -------------------------------------------------------------------------------------------------------------- */

static bool may_dispatch(const struct control_client *client)
{
    return !client->closing && client->peer.pending == 0 && client->out.n == 0 &&
           !client->is_holding;
}

static void answer_error(struct control_client *client, struct str id,
                         const struct rpc_error *error)
{
    struct out *out = on_begin(&client->peer);
    rpc_write_error(out, id, error);
    on_end(&client->peer, true);
}

static void dispatch(struct control_client *client, struct str line)
{
    struct rpc_envelope envelope;
    struct rpc_error error;

    if (rpc_read(line, &envelope, &error) != OK) {
        answer_error(client, envelope.id, &error);
        return;
    }
    if (rpc_dispatch(client->control->dispatcher, &client->peer, &envelope) == ERR_AGAIN) {
        client->held = line; /* stays where it is: nothing is read meanwhile */
        client->is_holding = true;
    }
}

static void refuse_long_line(struct control_client *client, size_t size)
{
    struct rpc_error error;
    rpc_error_set(&error, RPC_MESSAGE_TOO_LARGE,
                  "a message of more than %d bytes; it is skipped to its line feed", LIMIT_MESSAGE);
    struct out data = OUT_ON(error.data);
    struct json_writer w = json_writer(&data);
    json_object(&w);
    json_put_i64(&w, "limit", LIMIT_MESSAGE);
    json_put_u64(&w, "size", size);
    json_object_end(&w);
    out_cstr(&data);
    answer_error(client, STR_NONE, &error);
}

/* Takes whole lines for as long as there is room for their answers. */
static void take_lines(struct control_client *client)
{
    struct str line;
    size_t size;

    while (may_dispatch(client)) {
        enum err err = line_take(&client->reader, &line, &size);
        if (err == OK)
            dispatch(client, line);
        else if (err == ERR_TOO_LARGE)
            refuse_long_line(client, size);
        client->unread = err != ERR_AGAIN;
        if (!client->unread)
            break;
    }
}

static void note_partial(struct control_client *client)
{
    if (!line_is_partial(&client->reader) || !may_dispatch(client))
        client->partial_since_ms = 0;
    else if (client->partial_since_ms == 0)
        client->partial_since_ms = client->control->loop->now_ms;
}

static void on_client(struct loop_fd *node, unsigned ready)
{
    struct control_client *client = node->context;
    char *to;
    size_t room, got;

    if ((ready & PORT_READABLE) == 0)
        return; /* writing is control_after_commit()'s */
    /* A full buffer has no room to read into: what stands in it comes first. */
    if (client->unread)
        take_lines(client);
    for (int i = 0; i < READS_PER_TURN && may_dispatch(client); i++) {
        line_space(&client->reader, &to, &room);
        enum err err = port_read(node->fd, to, room, &got);
        if (err == ERR_AGAIN)
            break;
        if (err != OK) {
            client->ended = true;
            break;
        }
        line_added(&client->reader, got);
        take_lines(client);
    }
    note_partial(client);
}

void control_retry(struct control *control)
{
    for (size_t i = 0; i < LIMIT_CLIENTS; i++) {
        struct control_client *client = &control->clients[i];
        if (!is_open(client))
            continue;
        if (client->is_holding) {
            client->is_holding = false;
            dispatch(client, client->held);
        }
        if (client->unread && may_dispatch(client))
            take_lines(client);
    }
}

/* --- events for followers ---------------------------------------------------------------------------------------------------- */

static void end_follow(struct control_client *client)
{
    struct out *out = on_begin(&client->peer);
    struct json_writer w = rpc_begin_notification(out, "events.end");
    json_object(&w);
    json_put_u64(&w, "last", client->follow.last);
    json_object_end(&w);
    rpc_end(&w);
    on_end(&client->peer, true);
    client->follow.active = false;
}

static void tell_gap(struct control_client *client, uint64_t first)
{
    struct out *out = on_begin(&client->peer);
    struct json_writer w = rpc_begin_notification(out, "events.gap");
    json_object(&w);
    json_put_u64(&w, "from", client->follow.after + 1);
    json_put_u64(&w, "to", first - 1);
    json_put_text(&w, "reason", "held no longer");
    json_object_end(&w);
    rpc_end(&w);
    on_end(&client->peer, true);
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

static void tell_events(struct control_client *client)
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
        loop_wake(client->control->loop); /* it may be written at once, and nothing else may happen */
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

    if (!rpc_params(call, params, fields, sizeof fields / sizeof fields[0], &read))
        return;
    if (client->follow.active) {
        rpc_error_set(&error, RPC_WRONG_STATE,
                      "this connection follows events already; open another");
        rpc_answer_error(call, &error);
        return;
    }
    if (read.run_id[0] != '\0' &&
        !control->find_run(control->find_run_context, read.run_id, &created_seq)) {
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
    client->follow = (struct control_follow){
        .active = true, .follow = read.follow, .after = after, .last = (uint64_t)read.after};
    memcpy(client->follow.run_id, read.run_id, sizeof read.run_id);
    client->follow.cursor = journal_cursor_after(control->journal, after);
    rpc_answer_raw(call, STR("{}"));
}

/* --- writing ------------------------------------------------------------------------------------------------------------------ */

static void write_out(struct control_client *client)
{
    size_t put;

    while (client->sent < client->out.n) {
        enum err err =
            port_write(client->node.fd, str_from(out_view(&client->out), client->sent), &put);
        if (err == ERR_AGAIN)
            return;
        if (err != OK) {
            client->closing = true;
            client->sent = client->out.n;
            break;
        }
        client->sent += put;
    }
    client->sent = 0;
    out_reset(&client->out);
}

static void serve(struct control_client *client)
{
    struct control *control = client->control;

    if (client->out.n > 0)
        write_out(client);
    /* What was read before, and waited for its answer's room. */
    if (client->out.n == 0 && !client->closing) {
        if (client->unread && may_dispatch(client)) {
            loop_wake(control->loop); /* their effects belong before the next commit */
            return;
        }
        tell_events(client);
        if (client->out.n > 0)
            write_out(client);
    }
    if (client->partial_since_ms != 0 &&
        control->loop->now_ms - client->partial_since_ms >= PARTIAL_MS) {
        log_debug("control", "%s sent half a line and nothing more for 30 s; closed",
                  client->peer.by);
        client->closing = true;
    }
    bool idle = client->out.n == 0 && client->peer.pending == 0 && !client->is_holding;
    if (client->closing || (client->ended && idle && !client->follow.active)) {
        close_client(client);
        return;
    }
    client->node.wanted =
        (unsigned char)((may_dispatch(client) && !client->ended ? PORT_READABLE : 0) |
                        (client->out.n > 0 ? PORT_WRITABLE : 0));
}

void control_after_commit(struct control *control)
{
    for (size_t i = 0; i < LIMIT_CLIENTS; i++)
        if (is_open(&control->clients[i]))
            serve(&control->clients[i]);
}

int64_t control_next_ms(const struct control *control)
{
    int64_t next = -1;
    for (size_t i = 0; i < LIMIT_CLIENTS; i++) {
        const struct control_client *client = &control->clients[i];
        if (is_open(client) && client->partial_since_ms != 0 &&
            (next < 0 || client->partial_since_ms + PARTIAL_MS < next))
            next = client->partial_since_ms + PARTIAL_MS;
    }
    return next;
}

/* --- the listener --------------------------------------------------------------------------------------------------------------- */

static void refuse_crowd(int fd)
{
    char bytes[256];
    struct out out = OUT_ON(bytes);
    struct rpc_error error;
    size_t put;

    rpc_error_set(&error, RPC_BUSY, "busy: %d clients are connected already", LIMIT_CLIENTS);
    (void)str_copy(STR("{\"retry_after_ms\":1000}"), error.data, sizeof error.data);
    rpc_write_error(&out, STR_NONE, &error);
    out_byte(&out, '\n');
    (void)port_write(fd, out_view(&out), &put); /* a fresh socket takes so little at once */
}

static struct control_client *find_place(struct control *control)
{
    for (size_t i = 0; i < LIMIT_CLIENTS; i++)
        if (!is_open(&control->clients[i]))
            return &control->clients[i];
    return NULL;
}

static void admit(struct control *control, int fd, int64_t uid)
{
    struct control_client *client = find_place(control);
    struct out by;

    if (client == NULL) {
        refuse_crowd(fd);
        port_close(fd);
        return;
    }
    client->node = (struct loop_fd){
        .fd = fd, .wanted = PORT_READABLE, .on_ready = on_client, .context = client};
    if (loop_add(control->loop, &client->node) != OK) {
        refuse_crowd(fd);
        port_close(fd);
        return;
    }
    client->control = control;
    client->open = true;
    client->peer.channel = RPC_LOCAL;
    client->peer.begin = on_begin;
    client->peer.end = on_end;
    client->peer.pending = 0;
    by = OUT_ON(client->peer.by);
    out_text(&by, "uid:");
    out_i64(&by, uid);
    out_cstr(&by);
    client->reader = line_reader_on(client->in, sizeof client->in);
    client->out = OUT_ON(client->bytes);
    client->is_holding = client->ended = client->closing = client->unread = false;
    client->partial_since_ms = 0;
    client->sent = 0;
    client->follow.active = false;
    control->count++;
}

static void on_listener(struct loop_fd *node, unsigned ready)
{
    struct control *control = node->context;
    struct port_credentials peer;
    int fd;
    (void)ready;

    for (int i = 0; i < 8; i++) {
        enum err err = port_accept(node->fd, &fd);
        if (err == ERR_FULL)
            node->wanted = 0; /* no descriptor is left: until a client closes */
        if (err != OK)
            return;
        if (port_peer(fd, &peer) != OK || (peer.uid != port_uid() && peer.uid != 0)) {
            log_warning("control", "a client of another user was refused");
            port_close(fd);
            continue;
        }
        admit(control, fd, peer.uid);
    }
}

/* A path too long for a socket's address gets a short one elsewhere, and the project says where. */
static enum err choose_path(struct control *control, const char *charter_directory)
{
    const char *runtime = port_environment("XDG_RUNTIME_DIR");
    struct out out = OUT_ON(control->path);
    char directory[LIMIT_PATH];
    unsigned char random[8];

    out_format(&out, "%s/daemon.addr", charter_directory);
    (void)str_copy(out_view(&out), control->address_file, sizeof control->address_file);
    out_reset(&out);
    out_format(&out, "%s/daemon.sock", charter_directory);
    out_cstr(&out);
    (void)port_unlink(control->path);
    (void)port_unlink(control->address_file);
    if (strlen(control->path) <= port_local_path_max()) {
        control->address_file[0] = '\0';
        return OK;
    }
    struct out place = OUT_ON(directory);
    if (runtime != NULL && runtime[0] == '/') {
        out_text(&place, runtime);
    } else {
        out_format(&place, "/tmp/charter-%lld", (long long)port_uid());
        enum err err = port_make_directory(out_cstr(&place), 0700);
        struct port_stat stat;
        if (err != OK && err != ERR_EXISTS)
            return err;
        if (port_stat(directory, &stat) != OK || stat.kind != PORT_DIRECTORY ||
            port_set_mode(directory, 0700) != OK)
            return ERR_DENIED; /* somebody else's: setting its mode fails for all but its owner */
    }
    enum err err = port_random(random, sizeof random);
    if (err != OK)
        return err;
    out_reset(&out);
    out_text(&out, out_cstr(&place));
    out_text(&out, "/charter-");
    out_hex(&out, random, sizeof random);
    out_text(&out, ".sock");
    out_cstr(&out);
    return strlen(control->path) <= port_local_path_max() ? OK : ERR_TOO_LARGE;
}

static enum err write_address(struct control *control)
{
    size_t put;
    int fd;

    if (control->address_file[0] == '\0')
        return OK;
    enum err err = port_open(control->address_file, PORT_TRUNCATE, &fd);
    if (err != OK)
        return err;
    err = port_write(fd, str_of(control->path), &put);
    if (err == OK)
        err = port_write(fd, STR("\n"), &put);
    port_close(fd);
    return err;
}

enum err control_start(struct control *control, struct loop *loop, struct journal *journal,
                       const char *charter_directory, const struct rpc_dispatcher *dispatcher,
                       control_find_run *find_run, void *find_run_context)
{
    control->loop = loop;
    control->journal = journal;
    control->dispatcher = dispatcher;
    control->find_run = find_run;
    control->find_run_context = find_run_context;
    control->listener = (struct loop_fd){
        .fd = -1, .wanted = PORT_READABLE, .on_ready = on_listener, .context = control};
    enum err err = choose_path(control, charter_directory);
    if (err == OK)
        err = port_listen_local(control->path, LIMIT_CLIENTS, &control->listener.fd);
    if (err == OK)
        err = write_address(control);
    if (err == OK)
        err = loop_add(loop, &control->listener);
    return err;
}

void control_stop(struct control *control)
{
    for (size_t i = 0; i < LIMIT_CLIENTS; i++)
        if (is_open(&control->clients[i])) {
            write_out(&control->clients[i]);
            close_client(&control->clients[i]);
        }
    if (control->listener.fd >= 0) {
        loop_remove(control->loop, &control->listener);
        port_close(control->listener.fd);
        control->listener.fd = -1;
        (void)port_unlink(control->path);
    }
    if (control->address_file[0] != '\0')
        (void)port_unlink(control->address_file);
}
