/* From a URL to an open WebSocket: its name is resolved and dialled, or the proxy's; CONNECT where there is a proxy, TLS where
 * the URL has it, the opening handshake, redirects.  One attempt at a time; it ends by one call of on_done, which may
 * come before connect_start() returns, or by connect_cancel().
 *
 * Each step has the same deadline.  A redirect begins the steps anew; it holds for this attempt alone.  The token is sent
 * to the origin of the URL that was asked for, and only as long as no redirect has led away from it. */
#ifndef LINK_CONNECT_H
#define LINK_CONNECT_H

#include "link/dial.h"
#include "link/proxy.h"
#include "link/redirect.h"
#include "link/secret.h"
#include "link/tls.h"
#include "link/transport.h"
#include "link/upgrade.h"
#include "link/ws.h"

#define CONNECT_ERROR 448
/* What the caller's buffer must hold at least: a head, and a request. */
#define CONNECT_BUFFER (ANSWER_HEAD_MAX + URL_PATH + LIMIT_TOKEN + 2 * URL_HOST + 512)

enum connect_stage {
    CONNECT_RESOLVING,
    CONNECT_DIALLING,
    CONNECT_TUNNELLING, /* CONNECT is with the proxy */
    CONNECT_SECURING,
    CONNECT_UPGRADING
};

enum connect_failure {
    CONNECT_LOST,        /* may go better the next time */
    CONNECT_UNUSABLE,    /* URL or proxy cannot be used as they are */
    CONNECT_REFUSED,     /* the gateway answered with `status` */
    CONNECT_TOKEN,       /* the token file cannot be used; `token` tells when it has changed */
    CONNECT_CREDENTIALS, /* the proxy wants others; `credentials` tells when their file has changed */
};

struct connect;

struct connect_request {
    const struct url *url; /* these live until the end of the attempt */
    const char *protocol;  /* the subprotocol to ask for; NULL: none */
    const char *token_file;
    const struct proxy_options *proxy;
    const struct tls_options *tls;
    int64_t deadline_ms;              /* of each step */
    int keepalive_s, user_timeout_ms; /* of TCP */
    void (*on_stage)(struct connect *connect, enum connect_stage stage);
    /* OK: *transport is open, its descriptor is the caller's and not in the loop; *ws is reset, and may hold bytes that came behind
     * the answer.  Else `failure` and `error` say why. */
    void (*on_done)(struct connect *connect, enum err err);
};

struct connect {
    void *owner;
    enum connect_failure failure;
    char error[CONNECT_ERROR];
    unsigned status;
    int64_t retry_after_ms;
    struct secret token, credentials;

    /* connect.c's */
    struct loop *loop;
    struct ws *ws;
    struct transport *transport;
    struct tls *engine;
    char *buffer;
    size_t buffer_size;
    struct connect_request request;
    enum connect_stage stage;
    bool is_running, is_proxied, with_token, write_failed;
    unsigned redirects;
    struct url url, proxy; /* where to, by way of */
    struct dial dial;
    struct loop_fd socket;
    struct loop_timer deadline, again;
    struct upgrade upgrade;
    struct answer answer; /* the proxy's */
    struct out out;       /* the request; it stands behind the head in the buffer */
    size_t sent;
};

/* Once.  `buffer` (at least CONNECT_BUFFER bytes) also becomes the one that the WebSocket puts messages into. */
void connect_init(struct connect *connect, struct loop *loop, struct ws *ws,
                  struct transport *transport, struct tls *engine, char *buffer, size_t size);
void connect_start(struct connect *connect, const struct connect_request *request);
/* Nothing happens where nothing is under way. */
void connect_cancel(struct connect *connect);

#endif
