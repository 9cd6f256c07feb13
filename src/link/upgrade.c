/* Owns the verdict over the answer to the opening handshake.  Invariant: OK only after every check of RFC 6455 §4.1 has
 * passed on one whole head. */
#include "link/upgrade.h"

#include "base/hash.h"

#include <string.h>

void upgrade_start(struct upgrade *upgrade, char *buffer, size_t size, int64_t wall_ms,
                   const unsigned char random[16], const struct url *url, const char *protocol,
                   struct str token, struct out *request)
{
    char key[WEBSOCKET_KEY_LENGTH + 1];
    struct out key_out = OUT_ON(key);

    answer_start(&upgrade->answer, buffer, size, wall_ms);
    upgrade->protocol = protocol;
    base64_encode(&key_out, random, 16);
    out_cstr(&key_out);
    websocket_accept(out_view(&key_out), upgrade->accept);

    out_text(request, "GET ");
    out_text(request, url->path);
    out_text(request, " HTTP/1.1\r\nHost: ");
    url_write_host(request, url, false);
    out_text(
        request,
        "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ");
    out_text(request, key);
    if (protocol != NULL) {
        out_text(request, "\r\nSec-WebSocket-Protocol: ");
        out_text(request, protocol);
    }
    out_text(request, "\r\nUser-Agent: charter-daemon/" CHARTER_VERSION "\r\n");
    if (token.n > 0) {
        out_text(request, "Authorization: Bearer ");
        out_str(request, token);
        out_text(request, "\r\n");
    }
    out_text(request, "\r\n");
}

/* --- the answer ---------------------------------------------------------------------------------------------------- */

struct fields {
    struct str upgrade, accept, protocol;
    bool connection, extensions;
    const char *twice; /* the name of a field that may stand once */
};

static void keep(struct fields *fields, struct str *slot, struct str value, const char *name)
{
    if (slot->p != NULL)
        fields->twice = name;
    *slot = value;
}

static void read_fields(const struct http_head *head, struct fields *fields)
{
    struct str rest = http_fields(head), name, value;

    memset(fields, 0, sizeof *fields);
    while (http_field_next(&rest, &name, &value)) {
        if (str_equal_nocase(name, STR("Upgrade")))
            keep(fields, &fields->upgrade, value, "Upgrade");
        else if (str_equal_nocase(name, STR("Sec-WebSocket-Accept")))
            keep(fields, &fields->accept, value, "Sec-WebSocket-Accept");
        else if (str_equal_nocase(name, STR("Sec-WebSocket-Protocol")))
            keep(fields, &fields->protocol, value, "Sec-WebSocket-Protocol");
        else if (str_equal_nocase(name, STR("Sec-WebSocket-Extensions")))
            fields->extensions = fields->extensions || value.n > 0;
        else if (str_equal_nocase(name, STR("Connection")))
            fields->connection = fields->connection || http_has_token(value, "upgrade");
    }
}

static enum err judge_protocol(struct answer *answer, const char *wanted, struct str selected)
{
    if (wanted == NULL)
        return selected.p == NULL
                   ? OK
                   : answer_refuse(answer, "it selected a subprotocol in "
                                           "Sec-WebSocket-Protocol, none was asked for");
    if (selected.n == 0)
        return answer_refuse(answer, "it did not select the subprotocol %s", wanted);
    if (!str_is(selected, wanted))
        return answer_refuse(answer, "it selected another subprotocol than %s", wanted);
    return OK;
}

static enum err judge_switch(struct upgrade *upgrade)
{
    struct answer *answer = &upgrade->answer;
    struct fields fields;

    read_fields(&answer->head, &fields);
    if (answer->minor == 0)
        return answer_refuse(answer, "HTTP/1.0 cannot switch protocols");
    if (fields.twice != NULL)
        return answer_refuse(answer, "%s is given twice", fields.twice);
    if (!str_equal_nocase(fields.upgrade, STR("websocket")))
        return answer_refuse(answer, fields.upgrade.p == NULL ? "\"Upgrade: websocket\" is missing"
                                                              : "Upgrade is not \"websocket\"");
    if (!fields.connection)
        return answer_refuse(answer, "\"Connection: Upgrade\" is missing");
    if (!str_is(fields.accept, upgrade->accept))
        return answer_refuse(answer, fields.accept.p == NULL
                                         ? "Sec-WebSocket-Accept is missing"
                                         : "Sec-WebSocket-Accept does not answer our key");
    if (fields.extensions)
        return answer_refuse(answer,
                             "Sec-WebSocket-Extensions selects an extension that was not offered");
    return judge_protocol(answer, upgrade->protocol, fields.protocol);
}

enum err upgrade_feed(struct upgrade *upgrade, struct str bytes, size_t *taken)
{
    struct answer *answer = &upgrade->answer;
    size_t more;

    *taken = 0;
    if (!answer->head.is_whole) {
        enum err err = answer_head(answer, bytes, taken);
        if (err != OK)
            return err;
        if (answer->status == 101)
            return judge_switch(upgrade);
    }
    enum err err = answer_body(answer, str_from(bytes, *taken), &more);
    *taken += more;
    return err == OK ? ERR_REFUSED : err;
}

enum err upgrade_end(struct upgrade *upgrade)
{
    struct answer *answer = &upgrade->answer;

    if (answer->head.is_whole && answer->status >= 200)
        return ERR_REFUSED;
    return answer_refuse(answer, answer->head.n == 0 ? "the connection ended without an answer"
                                                     : "the connection ended inside the answer");
}
