/* Owns one attempt to connect.  Invariant: while a step is under way its deadline is set; the socket is in the loop from the
 * moment that it is connected until it is given away or closed. */
#include "link/connect.h"

#include "base/assert.h"
#include "base/log.h"

#include <stdarg.h>
#include <string.h>

static void begin(struct connect *connect);
static void begin_upgrade(struct connect *connect);

/* --- ends ----------------------------------------------------------------------------------------------------------- */

static void drop_request(struct connect *connect)
{
    if (connect->out.p != NULL)
        port_wipe(connect->out.p, connect->out.n); /* a secret stood there */
    connect->out = (struct out){0};
    connect->sent = 0;
}

static void drop(struct connect *connect)
{
    dial_cancel(&connect->dial);
    drop_request(connect);
    loop_timer_clear(connect->loop, &connect->deadline);
    loop_timer_clear(connect->loop, &connect->again);
    if (loop_has(&connect->socket)) {
        transport_end(connect->transport);
        tls_end(connect->engine);
        loop_remove(connect->loop, &connect->socket);
        port_close(connect->socket.fd);
    }
}

void connect_cancel(struct connect *connect)
{
    if (connect->is_running)
        drop(connect);
    connect->is_running = false;
}

/* What came after a redirect is told with where it led. */
static void note_redirect(struct connect *connect, struct out *out)
{
    if (connect->redirects == 0)
        return;
    out_text(out, " (after a redirect to ");
    url_write_origin(out, &connect->url);
    if (!connect->with_token && connect->request.token_file[0] != '\0')
        out_text(out, ", another origin, which gets no token");
    out_byte(out, ')');
}

static void fail(struct connect *connect, enum connect_failure failure, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail(struct connect *connect, enum connect_failure failure, const char *format, ...)
{
    struct out out = OUT_ON(connect->error);
    va_list args;

    va_start(args, format);
    out_vformat_cut(&out, format, args);
    va_end(args);
    note_redirect(connect, &out);
    out.n = out.n < out.cap ? out.n : out.cap - 1;
    out_cstr(&out);
    connect->failure = failure;
    drop(connect);
    connect->is_running = false;
    connect->request.on_done(connect, ERR_IO);
}

static void succeed(struct connect *connect)
{
    drop_request(connect);
    loop_timer_clear(connect->loop, &connect->deadline);
    loop_timer_clear(connect->loop, &connect->again);
    loop_remove(connect->loop, &connect->socket);
    connect->is_running = false;
    connect->request.on_done(connect, OK);
}

static void enter(struct connect *connect, enum connect_stage stage)
{
    connect->stage = stage;
    if (stage > CONNECT_DIALLING) /* the dial has its own */
        loop_timer_set(connect->loop, &connect->deadline,
                       connect->loop->now_ms + connect->request.deadline_ms);
    connect->request.on_stage(connect, stage);
}

/* --- what answers mean ------------------------------------------------------------------------------------------------ */

static const char *colon_before(const char *line)
{
    return line[0] == '\0' ? "" : ": ";
}

static const char *proxy_name(const struct connect *connect, char *buffer, size_t size)
{
    struct out out = out_on(buffer, size);
    url_write_host(&out, &connect->proxy, true);
    return out_cstr(&out);
}

static void take_proxy_refusal(struct connect *connect)
{
    const struct answer *answer = &connect->answer;
    const char *file = connect->request.proxy->credentials_file;
    char name[URL_HOST + 16];

    (void)proxy_name(connect, name, sizeof name);
    connect->retry_after_ms = answer->retry_after_ms;
    if (answer->status == 407 && file[0] == '\0')
        fail(connect, CONNECT_CREDENTIALS,
             "the proxy %s wants credentials (HTTP 407 %s%s%s); name a file that holds them with "
             "--proxy-credentials-file",
             name, answer->phrase, colon_before(answer->line), answer->line);
    else if (answer->status == 407)
        fail(connect, CONNECT_CREDENTIALS,
             "the proxy %s does not take the credentials in %.120s: HTTP 407 %s%s%s", name, file,
             answer->phrase, colon_before(answer->line), answer->line);
    else
        fail(connect, CONNECT_LOST, "the proxy %s refused to connect to %.100s:%u: HTTP %u %s%s%s",
             name, connect->url.host, connect->url.port, answer->status, answer->phrase,
             colon_before(answer->line), answer->line);
}

static void follow(struct connect *connect)
{
    const struct answer *answer = &connect->upgrade.answer;
    const char *reason = "it is one too many";
    struct url next;
    char text[160];
    struct out where = OUT_ON(text);
    struct str location = str_head(answer->location, 120);

    if (connect->redirects < REDIRECT_MAX &&
        redirect_read(&connect->url, answer->location, &next, &reason) == OK) {
        connect->redirects++;
        connect->url = next;
        connect->with_token = connect->with_token && url_same_origin(&next, connect->request.url);
        url_write_origin(&where, &next);
        log_info("link", "HTTP %u: redirected to %s%s", answer->status, out_cstr(&where),
                 connect->with_token || connect->request.token_file[0] == '\0'
                     ? ""
                     : ", without the token");
        drop(connect);
        begin(connect);
        return;
    }
    url_write_safe(&where, location);
    for (size_t i = 0; i < where.n; i++)
        where.p[i] = where.p[i] >= ' ' && where.p[i] <= '~' ? where.p[i] : '?';
    fail(
        connect, CONNECT_REFUSED,
        "the gateway refused the connection: HTTP %u %s: the redirect to \"%s\" is not followed: %s",
        answer->status, answer->phrase, out_cstr(&where), reason);
}

static void take_refusal(struct connect *connect)
{
    const struct answer *answer = &connect->upgrade.answer;

    connect->status = answer->status;
    connect->retry_after_ms = answer->retry_after_ms;
    if (redirect_is(answer->status) && answer->location.n > 0)
        follow(connect);
    else
        fail(connect, CONNECT_REFUSED, "the gateway refused the connection: HTTP %u %s%s%s",
             answer->status, answer->phrase, colon_before(answer->line), answer->line);
}

/* There will be no more of the answer; `words`, or NULL where it has simply ended. */
static void end_answer(struct connect *connect, const char *words)
{
    char name[URL_HOST + 16];

    if (connect->stage == CONNECT_TUNNELLING) {
        if (connect->answer.head.is_whole && connect->answer.status >= 300)
            take_proxy_refusal(connect);
        else
            fail(connect, CONNECT_LOST, "the proxy %s: %s", proxy_name(connect, name, sizeof name),
                 words != NULL ? words : "the connection ended without an answer to CONNECT");
    } else if (upgrade_end(&connect->upgrade) == ERR_REFUSED) {
        take_refusal(connect);
    } else {
        fail(connect, CONNECT_LOST, "the opening handshake failed: %s",
             words != NULL ? words : connect->upgrade.answer.reason);
    }
}

static void on_deadline(struct loop_timer *timer)
{
    struct connect *connect = timer->context;
    char words[64];
    struct out out = OUT_ON(words);

    out_format(&out, "no answer within %lld s", (long long)(connect->request.deadline_ms / 1000));
    if (connect->stage == CONNECT_SECURING)
        fail(
            connect, CONNECT_LOST,
            "TLS: %.200s did not finish the handshake within %lld s; is there a TLS server on port %u?",
            connect->url.host, (long long)(connect->request.deadline_ms / 1000), connect->url.port);
    else
        end_answer(connect, out_cstr(&out));
}

/* --- one request, one answer --------------------------------------------------------------------------------------- */

static enum err send_request(struct connect *connect)
{
    while (connect->sent < connect->out.n) {
        size_t put;
        struct str rest = str_from(out_view(&connect->out), connect->sent);
        enum err err = connect->transport->send(connect->transport, rest, &put);
        if (err != OK)
            return err;
        connect->sent += put;
        connect->ws->bytes_out += put;
    }
    if (connect->out.p != NULL)
        drop_request(connect);
    return OK;
}

/* The next step behind an open way: TLS, or the opening handshake at once. */
static void secure(struct connect *connect)
{
    int fd = connect->socket.fd;

    if (!connect->url.secure) {
        begin_upgrade(connect);
        return;
    }
    *connect->transport = (struct transport){.fd = fd};
    enter(connect, CONNECT_SECURING);
    if (tls_start(connect->engine, connect->request.tls, connect->url.host, connect->url.port,
                  fd) != OK)
        fail(connect, CONNECT_LOST, "%s", connect->engine->error);
    else
        loop_timer_set(connect->loop, &connect->again, connect->loop->now_ms);
}

static void step_secure(struct connect *connect)
{
    unsigned wants = 0;
    enum err err = tls_step(connect->engine, &wants);

    if (err == OK) {
        *connect->transport = connect->engine->transport;
        begin_upgrade(connect);
    } else if (err != ERR_AGAIN) {
        fail(connect, CONNECT_LOST, "%s", connect->engine->error);
    } else {
        connect->socket.wanted = (unsigned char)wants;
        if (wants == 0)
            loop_timer_set(connect->loop, &connect->again, connect->loop->now_ms);
    }
}

/* Takes what has been read.  False: the answer is not over. */
static bool take_answer(struct connect *connect)
{
    bool tunnelling = connect->stage == CONNECT_TUNNELLING;
    struct answer *answer = tunnelling ? &connect->answer : &connect->upgrade.answer;
    struct str input = ws_input(connect->ws);
    char name[URL_HOST + 16];
    size_t taken;
    enum err err = tunnelling ? proxy_feed(answer, input, &taken)
                              : upgrade_feed(&connect->upgrade, input, &taken);

    ws_skip(connect->ws, taken);
    if (err == ERR_AGAIN)
        return false;
    if (err == ERR_REFUSED && tunnelling)
        take_proxy_refusal(connect);
    else if (err == ERR_REFUSED)
        take_refusal(connect);
    else if (err != OK && tunnelling)
        fail(connect, CONNECT_LOST, "the proxy %s gave no valid answer: %s",
             proxy_name(connect, name, sizeof name), answer->reason);
    else if (err != OK)
        fail(connect, CONNECT_LOST, "the opening handshake failed: the answer is not valid: %s",
             answer->reason);
    else if (!tunnelling)
        succeed(connect);
    else if (taken < input.n) /* nobody has spoken to the gateway yet */
        fail(connect, CONNECT_LOST, "the proxy %s sent bytes of its own behind its answer",
             proxy_name(connect, name, sizeof name));
    else
        secure(connect);
    return true;
}

static void exchange(struct connect *connect)
{
    unsigned wanted = 0;

    if (!connect->write_failed) {
        enum err err = send_request(connect);
        if (err == ERR_AGAIN)
            wanted |= connect->transport->send_wants;
        else /* the reason may stand in what was not read yet */
            connect->write_failed = err != OK;
    }
    for (int i = 0; i < 4; i++) {
        enum err err = ws_fill(connect->ws);
        if (err == ERR_AGAIN) {
            connect->socket.wanted = (unsigned char)(wanted | connect->transport->recv_wants);
            return;
        }
        if (err != OK) {
            end_answer(connect, err == ERR_END ? NULL : transport_error(connect->transport));
            return;
        }
        if (take_answer(connect))
            return;
    }
    /* The transport may hold more, which no select() tells. */
    connect->socket.wanted = (unsigned char)(wanted | connect->transport->recv_wants);
    loop_timer_set(connect->loop, &connect->again, connect->loop->now_ms);
}

static void on_ready(struct loop_fd *node, unsigned ready)
{
    struct connect *connect = node->context;

    (void)ready;
    if (connect->stage == CONNECT_SECURING)
        step_secure(connect);
    else
        exchange(connect);
}

static void on_again(struct loop_timer *timer)
{
    struct connect *connect = timer->context;
    on_ready(&connect->socket, 0);
}

/* --- the steps ------------------------------------------------------------------------------------------------------ */

static void begin_request(struct connect *connect)
{
    ws_reset(connect->ws, connect->transport, connect->buffer, connect->buffer_size);
    connect->out =
        out_on(connect->buffer + ANSWER_HEAD_MAX, connect->buffer_size - ANSWER_HEAD_MAX);
    connect->sent = 0;
    connect->write_failed = false;
}

/* The secret in a file, for one line of a header.  False: the attempt has failed. */
static bool read_secret(struct connect *connect, struct secret *secret, char *buffer, size_t size,
                        struct str *text)
{
    bool is_token = secret == &connect->token;
    enum err err = secret_read(secret, buffer, size, text);

    if (err == OK)
        return true;
    port_wipe(buffer, size);
    fail(connect, is_token ? CONNECT_TOKEN : CONNECT_CREDENTIALS,
         "the %s file %.200s cannot be read: %s", is_token ? "token" : "credentials", secret->path,
         err == ERR_TOO_LARGE ? "it is too long" : port_last_error());
    return false;
}

static void begin_tunnel(struct connect *connect)
{
    char buffer[PROXY_CREDENTIALS];
    struct str credentials;

    begin_request(connect);
    enter(connect, CONNECT_TUNNELLING);
    if (!read_secret(connect, &connect->credentials, buffer, sizeof buffer, &credentials))
        return;
    if (credentials.n > 0 && !proxy_credentials_are_good(credentials)) {
        port_wipe(buffer, sizeof buffer);
        fail(connect, CONNECT_CREDENTIALS,
             "the credentials file %.200s does not hold one line USER:PASSWORD",
             connect->credentials.path);
        return;
    }
    answer_start(&connect->answer, connect->buffer, connect->buffer_size, connect->loop->wall_ms);
    proxy_write_request(&connect->out, &connect->url, credentials);
    port_wipe(buffer, sizeof buffer);
    ASSERT(!connect->out.overflow);
    exchange(connect);
}

/* It must not be able to add a header. */
static bool is_token(struct str token)
{
    for (size_t i = 0; i < token.n; i++)
        if (token.p[i] <= ' ' || token.p[i] > '~')
            return false;
    return true;
}

static void begin_upgrade(struct connect *connect)
{
    unsigned char key[16];
    char buffer[LIMIT_TOKEN];
    struct str token = STR_NONE;

    begin_request(connect);
    enter(connect, CONNECT_UPGRADING);
    if (port_random(key, sizeof key) != OK) {
        fail(connect, CONNECT_LOST, "the system gives no random bytes: %s", port_last_error());
        return;
    }
    secret_look(&connect->token);
    if (connect->with_token &&
        !read_secret(connect, &connect->token, buffer, sizeof buffer, &token))
        return;
    if (connect->with_token && connect->request.token_file[0] != '\0' && token.n == 0) {
        fail(connect, CONNECT_TOKEN, "the token file %.200s is empty", connect->token.path);
        return;
    }
    if (!is_token(token)) {
        port_wipe(buffer, sizeof buffer);
        fail(connect, CONNECT_TOKEN,
             "the token file %.200s holds more than one token of printable ASCII",
             connect->token.path);
        return;
    }
    upgrade_start(&connect->upgrade, connect->buffer, connect->buffer_size, connect->loop->wall_ms,
                  key, &connect->url, connect->request.protocol, token, &connect->out);
    port_wipe(buffer, sizeof buffer);
    ASSERT(!connect->out.overflow);
    exchange(connect);
}

static void on_resolved(struct dial *dial)
{
    enter(dial->owner, CONNECT_DIALLING);
}

static void on_dialled(struct dial *dial, enum err err, int fd)
{
    struct connect *connect = dial->owner;
    char name[URL_HOST + 16];

    if (err != OK && connect->is_proxied) {
        fail(connect, CONNECT_LOST, "the proxy %s: %s", proxy_name(connect, name, sizeof name),
             dial->error);
        return;
    }
    if (err != OK) {
        fail(connect, CONNECT_LOST, "%s", dial->error);
        return;
    }
    port_tune_tcp(fd, connect->request.keepalive_s, connect->request.user_timeout_ms);
    connect->socket = (struct loop_fd){
        .fd = fd, .wanted = PORT_READABLE, .on_ready = on_ready, .context = connect};
    if (loop_add(connect->loop, &connect->socket) != OK) {
        port_close(fd);
        fail(connect, CONNECT_LOST, "no room in the loop for the connection");
        return;
    }
    *connect->transport = transport_tcp(fd);
    if (connect->is_proxied)
        begin_tunnel(connect);
    else
        secure(connect);
}

static void begin(struct connect *connect)
{
    static const struct dial_handler handler = {on_resolved, on_dialled};
    const char *source, *reason;
    enum err err;

    enter(connect, CONNECT_RESOLVING);
    if (connect->url.secure && !TLS_IS_BUILT) {
        fail(connect, CONNECT_UNUSABLE, "the gateway's URL cannot be used: this build has no TLS");
        return;
    }
    err = proxy_choose(connect->request.proxy, &connect->url, &connect->proxy, &source, &reason);
    if (err != OK && err != ERR_NOT_FOUND) {
        fail(connect, CONNECT_UNUSABLE, "the proxy that %s names cannot be used: %s", source,
             reason);
        return;
    }
    connect->is_proxied = err == OK;
    if (dial_start(&connect->dial, connect->loop,
                   connect->is_proxied ? &connect->proxy : &connect->url,
                   connect->request.deadline_ms, &handler) != OK)
        fail(connect, CONNECT_LOST, "%s", connect->dial.error);
}

void connect_init(struct connect *connect, struct loop *loop, struct ws *ws,
                  struct transport *transport, struct tls *engine, char *buffer, size_t size)
{
    ASSERT(size >= CONNECT_BUFFER);
    bytes_clear(connect, sizeof *connect);
    connect->loop = loop;
    connect->ws = ws;
    connect->transport = transport;
    connect->engine = engine;
    connect->buffer = buffer;
    connect->buffer_size = size;
    connect->dial.owner = connect;
    connect->deadline = (struct loop_timer){.on_due = on_deadline, .context = connect};
    connect->again = (struct loop_timer){.on_due = on_again, .context = connect};
}

void connect_start(struct connect *connect, const struct connect_request *request)
{
    ASSERT(!connect->is_running);
    connect->request = *request;
    connect->is_running = true;
    connect->failure = CONNECT_LOST;
    connect->error[0] = '\0';
    connect->status = 0;
    connect->retry_after_ms = 0;
    connect->redirects = 0;
    connect->with_token = true;
    connect->url = *request->url;
    connect->token.path = request->token_file;
    connect->credentials.path = request->proxy->credentials_file;
    begin(connect);
}
