/* The same stream as link_stream's by libwebsockets, as its documentation wants it: written when writeable, as long as the pipe is
 * not choked.  lws_stream COUNT BYTES ws|wss HOST PORT [CA-FILE] */
#include "../bench.h"

#include <libwebsockets.h>

static struct {
    size_t left, size;
    int is_closed, failed, closing;
    unsigned char buffer[LWS_PRE + 65536];
    double cpu, wall;
} s;

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t n)
{
    (void)user;
    (void)n;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        s.cpu = cpu_us();
        s.wall = now_us();
        lws_callback_on_writable(wsi);
        break;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        do {
            if (s.left == 0) {
                lws_close_reason(wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
                return -1;
            }
            if (lws_write(wsi, s.buffer + LWS_PRE, s.size, LWS_WRITE_TEXT) < (int)s.size)
                return -1;
            /* It masks in place: the text is made anew, as the others copy theirs. */
            memset(s.buffer + LWS_PRE, 'x', s.size);
            s.left--;
        } while (!lws_send_pipe_choked(wsi));
        lws_callback_on_writable(wsi);
        break;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        fprintf(stderr, "lws_stream: %s\n", in != NULL ? (char *)in : "failed");
        s.failed = s.is_closed = 1;
        break;
    case LWS_CALLBACK_CLIENT_CLOSED:
        s.is_closed = 1;
        break;
    default:
        break;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct lws_protocols protocols[] = {{"charter.v1", on_event, 0, 0, 0, NULL, 0},
                                                     {NULL, NULL, 0, 0, 0, NULL, 0}};
    struct lws_context_creation_info info = {0};
    struct lws_client_connect_info to = {0};

    if (argc < 6)
        return 2;
    s.left = (size_t)atol(argv[1]);
    s.size = (size_t)atol(argv[2]);
    memset(s.buffer + LWS_PRE, 'x', s.size);
    lws_set_log_level(LLL_ERR, NULL);
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.protocols = protocols;
    info.gid = info.uid = (unsigned)-1;
    if (strcmp(argv[3], "wss") == 0) {
        info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.client_ssl_ca_filepath = argc > 6 ? argv[6] : NULL;
        to.ssl_connection = LCCSCF_USE_SSL;
    }
    to.context = lws_create_context(&info);
    if (to.context == NULL)
        return 1;
    to.address = to.host = to.origin = argv[4];
    to.port = atoi(argv[5]);
    to.path = "/";
    to.protocol = protocols[0].name;
    if (lws_client_connect_via_info(&to) == NULL)
        return 1;
    while (!s.is_closed)
        lws_service(to.context, 0);
    if (s.failed || s.left > 0)
        return 1;
    printf("%.0f %.0f\n", cpu_us() - s.cpu, now_us() - s.wall);
    lws_context_destroy(to.context);
    return 0;
}
