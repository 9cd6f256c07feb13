/* One client of the control socket: what it has sent and not yet been answered, what it is to be told and has not taken.  It owns the client's
 * place from client_open() to client_close().  Invariant: a client is read only while everything before has been written, so that an answer
 * always has room. */
#include "control/client.h"

#include "base/assert.h"
#include "base/log.h"
#include "port.h"

#define PARTIAL_MS 30000 /* contract §5: half a line older than that closes the client */
#define READS_PER_TURN 4
#define OUT_BYTES sizeof(((struct control_buffers *)0)->out)

struct control_client *client_of(struct rpc_peer *peer)
{
    return (struct control_client *)(void *)((char *)peer - offsetof(struct control_client, peer));
}

static struct control_buffers *buffers_of(const struct control_client *client)
{
    return &client->control->buffers[client - client->control->clients];
}

/* Answers are begun only while everything before them has been written, or while a request was put off and nothing else is let in. */
static struct out *on_begin(struct rpc_peer *peer)
{
    struct control_client *client = client_of(peer);
    client->begun = client->out.n;
    client->out.cap = OUT_BYTES - 1; /* the line feed has its place */
    return &client->out;
}

static void on_end(struct rpc_peer *peer, bool ok)
{
    struct control_client *client = client_of(peer);
    client->out.cap = OUT_BYTES;
    if (!ok) {
        out_truncate(&client->out, client->begun);
        return;
    }
    out_byte(&client->out, '\n');
    ASSERT(!client->out.overflow);
}

void client_close(struct control_client *client)
{
    loop_remove(client->control->loop, &client->node);
    port_close(client->node.fd);
    client->open = false;
    client->peer.generation++; /* answers that are still being worked on have nobody to go to */
    client->peer.pending = 0;
    client->control->count--;
    control_listen_again(client->control);
    port_release(buffers_of(client), sizeof(struct control_buffers));
}

void client_rest(struct control_client *client)
{
    struct line_reader *reader = &client->reader;
    struct control_buffers *buffers = buffers_of(client);

    if (client->out.n > 0)
        return;
    port_release(buffers->out, sizeof buffers->out);
    if (reader->start < reader->n || client->is_holding)
        return;
    reader->start = reader->scanned = reader->n = 0;
    port_release(buffers->in, sizeof buffers->in);
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
        if (envelope.kind != RPC_NOTIFICATION) /* which has no answer (JSON-RPC 2.0 §4.1) */
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

void client_retry(struct control_client *client)
{
    if (client->is_holding) {
        client->is_holding = false;
        dispatch(client, client->held);
    }
    if (client->unread && may_dispatch(client))
        take_lines(client);
}

enum err client_open(struct control *control, struct control_client *client, int fd, int64_t uid)
{
    struct out by;

    client->node = (struct loop_fd){
        .fd = fd, .wanted = PORT_READABLE, .on_ready = on_client, .context = client};
    enum err err = loop_add(control->loop, &client->node);
    if (err != OK)
        return err;
    client->control = control;
    client->open = true;
    client->peer.channel = RPC_LOCAL;
    client->peer.message_max = LIMIT_MESSAGE;
    client->peer.begin = on_begin;
    client->peer.end = on_end;
    client->peer.pending = 0;
    by = OUT_ON(client->peer.by);
    out_text(&by, "uid:");
    out_i64(&by, uid);
    out_cstr(&by);
    struct control_buffers *buffers = buffers_of(client);
    client->reader = line_reader_on(buffers->in, sizeof buffers->in);
    client->out = OUT_ON(buffers->out);
    client->is_holding = client->ended = client->closing = client->unread = false;
    client->partial_since_ms = 0;
    client->sent = 0;
    client->follow.active = false;
    control->count++;
    return OK;
}

int64_t client_due_ms(const struct control_client *client)
{
    return client->partial_since_ms != 0 ? client->partial_since_ms + PARTIAL_MS : -1;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

void client_write(struct control_client *client)
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

/* Whether a client that sends no more does not read any more either: else it would keep its place until the next event.  Writing nothing
 * says so where the system can tell. */
static bool has_left(struct control_client *client)
{
    size_t put;
    return port_write(client->node.fd, STR(""), &put) == ERR_REFUSED;
}

void client_serve(struct control_client *client)
{
    struct control *control = client->control;

    if (client->out.n > 0)
        client_write(client);
    /* What was read before, and waited for its answer's room. */
    if (client->out.n == 0 && !client->closing) {
        if (client->unread && may_dispatch(client)) {
            loop_wake(control->loop); /* their effects belong before the next commit */
            return;
        }
        follow_tell(client);
        if (client->out.n > 0)
            client_write(client);
    }
    if (client->partial_since_ms != 0 &&
        control->loop->now_ms - client->partial_since_ms >= PARTIAL_MS) {
        log_debug("control", "%s sent half a line and nothing more for 30 s; closed",
                  client->peer.by);
        client->closing = true;
    }
    if (client->ended && client->follow.active && has_left(client))
        client->closing = true;
    bool idle = client->out.n == 0 && client->peer.pending == 0 && !client->is_holding;
    if (client->closing || (client->ended && idle && !client->follow.active)) {
        client_close(client);
        return;
    }
    client->node.wanted =
        (unsigned char)((may_dispatch(client) && !client->ended ? PORT_READABLE : 0) |
                        (client->out.n > 0 ? PORT_WRITABLE : 0));
}
