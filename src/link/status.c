/* Owns the view of the link that daemon.status shows.  Bytes are those of the WebSocket and its opening handshake, without
 * what TLS, TCP and a proxy add to them. */
#include "link/session.h"

#include "base/built.h"

static void put_traffic(struct json_writer *w, const struct link_traffic *traffic)
{
    json_put_u64(w, "bytes_in", traffic->bytes_in);
    json_put_u64(w, "bytes_out", traffic->bytes_out);
    json_put_u64(w, "messages_in", traffic->messages_in);
    json_put_u64(w, "messages_out", traffic->messages_out);
}

static struct link_traffic present_traffic(const struct link *link)
{
    if (!link_has_socket(link))
        return (struct link_traffic){0};
    return (struct link_traffic){link->ws.bytes_in, link->ws.bytes_out, link->ws.messages_in,
                                 link->ws.messages_out};
}

void link_count_traffic(struct link *link)
{
    struct link_traffic now = present_traffic(link);

    link->past.bytes_in += now.bytes_in;
    link->past.bytes_out += now.bytes_out;
    link->past.messages_in += now.messages_in;
    link->past.messages_out += now.messages_out;
}

/* Milliseconds with three decimals; null where nothing is known. */
static void put_us(struct json_writer *w, const char *key, int64_t us)
{
    json_key(w, key);
    if (us < 0) {
        json_null(w);
        return;
    }
    struct out *out = json_raw_begin(w);
    out_i64(out, us / 1000);
    out_byte(out, '.');
    out_byte(out, (char)('0' + us / 100 % 10));
    out_byte(out, (char)('0' + us / 10 % 10));
    out_byte(out, (char)('0' + us % 10));
}

/* The present connection: figures of its own, and what was measured on it. */
static void put_connection(const struct link *link, struct json_writer *w)
{
    struct link_traffic now = present_traffic(link);

    json_key(w, "connection");
    if (link->session_at_ms == 0 || !link_has_socket(link)) {
        json_null(w);
        return;
    }
    json_object(w);
    put_traffic(w, &now);
    json_object_end(w);
}

/* Beyond what the contract promises. */
static void put_figures(const struct link *link, struct json_writer *w)
{
    struct link_traffic total = present_traffic(link);

    total.bytes_in += link->past.bytes_in;
    total.bytes_out += link->past.bytes_out;
    total.messages_in += link->past.messages_in;
    total.messages_out += link->past.messages_out;
    put_traffic(w, &total);
    put_connection(link, w);
    put_us(w, "rtt_ms", link->round_trip_us);
    json_key(w, "clock_offset_ms");
    if (link->knows_clock)
        json_i64(w, link->clock_offset_ms);
    else
        json_null(w);
}

void link_write_status(const struct link *link, struct json_writer *w)
{
    int64_t left_ms = link->next_try_ms - link->loop->now_ms;

    json_object(w);
    json_put_text(w, "url", link->options.url_count > 0 ? link->options.urls[link->url_at] : NULL);
    json_put_text(w, "state", link_state_name(link->state));
    json_put_time(w, "since", link->since_ms);
    json_put_u64(w, "reconnects", link->sessions > 0 ? link->sessions - 1 : 0);
    json_put_text(w, "last_error", link->last_error[0] == '\0' ? NULL : link->last_error);
    json_key(w, "next_try_s");
    if (link->state == LINK_WAITING)
        json_i64(w, left_ms > 0 ? (left_ms + 999) / 1000 : 0);
    else
        json_null(w);
    json_put_u64(w, "acked_seq", link->outbox.acked);
    json_put_bool(w, "paused", link->paused);
    if (BUILT_IN(CONFIG_METRICS))
        put_figures(link, w);
    json_object_end(w);
}
