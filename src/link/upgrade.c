/* Owns the verdict over the answer to the opening handshake.  Invariant: OK only after every check of RFC 6455 §4.1 has
 * passed on one whole head. */
#include "link/upgrade.h"

#include "base/hash.h"

#include <string.h>

void upgrade_start(struct upgrade *upgrade, char *buffer, size_t size, int64_t wall_ms,
                   const unsigned char random[16], const struct url *url, struct str token,
                   struct out *request)
{
    char key[WEBSOCKET_KEY_LENGTH + 1];
    struct out key_out = OUT_ON(key);

    memset(upgrade, 0, sizeof *upgrade);
    upgrade->head = http_head_on(buffer, size < UPGRADE_HEAD_MAX ? size : UPGRADE_HEAD_MAX);
    upgrade->wall_ms = wall_ms;
    base64_encode(&key_out, random, 16);
    out_cstr(&key_out);
    websocket_accept(out_view(&key_out), upgrade->accept);

    out_text(request, "GET ");
    out_text(request, url->path);
    out_text(request, " HTTP/1.1\r\nHost: ");
    out_text(request, url->is_literal ? "[" : "");
    /* A zone names an interface of this machine, and is nobody else's business. */
    out_str(request, str_head(str_of(url->host), str_find(str_of(url->host), '%')));
    out_text(request, url->is_literal ? "]" : "");
    if (url->has_port) {
        out_byte(request, ':');
        out_u64(request, url->port);
    }
    out_text(
        request,
        "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ");
    out_text(request, key);
    out_text(request, "\r\nSec-WebSocket-Protocol: " UPGRADE_PROTOCOL
                      "\r\nUser-Agent: charter-daemon/" CHARTER_VERSION "\r\n");
    if (token.n > 0) {
        out_text(request, "Authorization: Bearer ");
        out_str(request, token);
        out_text(request, "\r\n");
    }
    out_text(request, "\r\n");
}

/* --- the head ------------------------------------------------------------------------------------------------------ */

static enum err refuse(struct upgrade *upgrade, const char *reason)
{
    upgrade->reason = reason;
    return ERR_SYNTAX;
}

struct fields {
    struct str upgrade, accept, protocol, length, retry_after;
    bool connection, extensions, chunked, twice;
};

static void keep(struct fields *fields, struct str *slot, struct str value)
{
    if (slot->p != NULL)
        fields->twice = true;
    *slot = value;
}

static bool read_fields(const struct http_head *head, struct fields *fields)
{
    struct str rest = http_fields(head), name, value;
    bool good;

    memset(fields, 0, sizeof *fields);
    while (http_field_next(&rest, &name, &value, &good)) {
        if (str_equal_nocase(name, STR("Upgrade")))
            keep(fields, &fields->upgrade, value);
        else if (str_equal_nocase(name, STR("Sec-WebSocket-Accept")))
            keep(fields, &fields->accept, value);
        else if (str_equal_nocase(name, STR("Sec-WebSocket-Protocol")))
            keep(fields, &fields->protocol, value);
        else if (str_equal_nocase(name, STR("Sec-WebSocket-Extensions")))
            fields->extensions = fields->extensions || value.n > 0;
        else if (str_equal_nocase(name, STR("Connection")))
            fields->connection = fields->connection || http_has_token(value, "upgrade");
        else if (str_equal_nocase(name, STR("Content-Length")))
            fields->length = value;
        else if (str_equal_nocase(name, STR("Transfer-Encoding")))
            fields->chunked = http_has_token(value, "chunked");
        else if (str_equal_nocase(name, STR("Retry-After")))
            fields->retry_after = value;
    }
    return good;
}

static enum err judge_switch(struct upgrade *upgrade, const struct fields *fields)
{
    if (fields->twice)
        return refuse(upgrade, "a field of the handshake is given twice");
    if (!str_equal_nocase(fields->upgrade, STR("websocket")))
        return refuse(upgrade, "\"Upgrade: websocket\" is missing");
    if (!fields->connection)
        return refuse(upgrade, "\"Connection: Upgrade\" is missing");
    if (!str_is(fields->accept, upgrade->accept))
        return refuse(upgrade, "Sec-WebSocket-Accept does not answer our key");
    if (fields->protocol.n == 0)
        return refuse(upgrade, "it did not select the subprotocol " UPGRADE_PROTOCOL);
    if (!str_is(fields->protocol, UPGRADE_PROTOCOL))
        return refuse(upgrade, "it selected another subprotocol than " UPGRADE_PROTOCOL);
    if (fields->extensions)
        return refuse(upgrade, "it selected an extension that was not offered");
    return OK;
}

static enum err judge_head(struct upgrade *upgrade)
{
    struct fields fields;
    struct str phrase;

    if (!http_status_line(http_first_line(&upgrade->head), &upgrade->status, &phrase))
        return refuse(upgrade, "its first line is no HTTP/1.1 status line");
    if (!read_fields(&upgrade->head, &fields))
        return refuse(upgrade, "a header line without a name");
    if (upgrade->status == 101)
        return judge_switch(upgrade, &fields);
    (void)str_copy(str_head(phrase, sizeof upgrade->phrase - 1), upgrade->phrase,
                   sizeof upgrade->phrase);
    if (fields.retry_after.n > 0)
        (void)http_retry_after(fields.retry_after, upgrade->wall_ms, &upgrade->retry_after_ms);
    upgrade->chunked = fields.chunked;
    upgrade->in_line = true;
    upgrade->body_left = UINT64_MAX;
    if (!fields.chunked && fields.length.n > 0)
        (void)str_to_u64(fields.length, &upgrade->body_left);
    return upgrade->body_left == 0 ? ERR_REFUSED : ERR_AGAIN;
}

/* --- the body of a refusal ----------------------------------------------------------------------------------------- */

/* Control bytes and everything that is not ASCII become '?', because the line goes to logs and terminals. */
static enum err body_byte(struct upgrade *upgrade, char c)
{
    bool blank = c == '\n' || c == '\r';

    upgrade->body_n++;
    upgrade->body_left--;
    if (upgrade->chunked) { /* the first line is the size of the first chunk */
        upgrade->chunked = c != '\n';
    } else if (blank && upgrade->line_n > 0) {
        return ERR_REFUSED;
    } else if (!blank && upgrade->line_n + 1 < sizeof upgrade->line) {
        upgrade->line[upgrade->line_n++] = c >= ' ' && c <= '~' ? c : '?';
        upgrade->line[upgrade->line_n] = '\0';
    }
    return upgrade->body_left == 0 || upgrade->body_n >= UPGRADE_BODY_MAX ? ERR_REFUSED : ERR_AGAIN;
}

enum err upgrade_feed(struct upgrade *upgrade, struct str bytes, size_t *taken)
{
    enum err err = ERR_AGAIN;

    *taken = 0;
    if (!upgrade->head.is_whole) {
        err = http_head_feed(&upgrade->head, bytes, taken);
        if (err == ERR_SYNTAX || err == ERR_TOO_LARGE)
            upgrade->reason = upgrade->head.reason;
        if (err != OK)
            return err;
        err = judge_head(upgrade);
    }
    for (; err == ERR_AGAIN && *taken < bytes.n; (*taken)++)
        err = body_byte(upgrade, bytes.p[*taken]);
    return err;
}

enum err upgrade_end(struct upgrade *upgrade)
{
    if (upgrade->head.is_whole && upgrade->status != 101)
        return ERR_REFUSED;
    return refuse(upgrade, upgrade->head.n == 0 ? "the connection ended without an answer"
                                                : "the connection ended inside the answer");
}
