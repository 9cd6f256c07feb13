/* The client's end of the control socket (contract §5): lines out, messages in, with a deadline.
 * One connection for one call of the command. */
#ifndef CLI_CONNECTION_H
#define CLI_CONNECTION_H

#include "base/limits.h"
#include "port.h"
#include "rpc/rpc.h"

struct cli_connection {
    bool is_open;
    int fd;
    unsigned requests; /* made so far; the last one's id is its number */
    char id[16];       /* of the last request */
    struct out out;    /* the request being written */
    struct json_writer writer;
    size_t n, taken;              /* bytes held in `in`, and of those the ones already given out */
    char in[LIMIT_MESSAGE + 2];   /* CR and LF */
    char line[LIMIT_MESSAGE + 1]; /* the request, LF included */
};

/* Connects to PROJECT/.charter/daemon.sock, or to the address in .charter/daemon.addr.
 * ERR_NOT_FOUND, ERR_REFUSED: no daemon; ERR_DENIED, ERR_IO: as port_connect_local(). */
enum err cli_connection_open(struct cli_connection *connection, const char *project);
void cli_connection_close(struct cli_connection *connection);

/* Begins a request; the writer stands inside its params object. */
struct json_writer *cli_connection_request(struct cli_connection *connection, const char *method);
/* Ends and sends it.  ERR_TOO_LARGE: longer than a message may be, nothing was sent.
 * ERR_REFUSED, ERR_IO: gone; ERR_TIMEOUT: the daemon takes nothing. */
enum err cli_connection_send(struct cli_connection *connection);

/* The next message; its views are valid until the next call.  ERR_TIMEOUT after timeout_ms (-1:
 * none); ERR_END: the daemon closed; ERR_SYNTAX: no message of the protocol; ERR_TOO_LARGE:
 * longer than this build takes; ERR_BUSY: a signal came that *signals counts (only after
 * port_signals_start(); also noticed while the daemon never stops sending). */
enum err cli_connection_receive(struct cli_connection *connection, int64_t timeout_ms,
                                struct rpc_envelope *envelope, struct port_signals *signals);
/* The same without a deadline, for somebody who is asked at the terminal meanwhile: ERR_AGAIN when
 * stdin can be read and no message is here. */
enum err cli_connection_receive_or_typed(struct cli_connection *connection,
                                         struct rpc_envelope *envelope,
                                         struct port_signals *signals);
/* Whether a whole message is here already. */
bool cli_connection_has_message(const struct cli_connection *connection);
/* Whether the envelope answers the last request. */
bool cli_connection_is_answer(const struct cli_connection *connection,
                              const struct rpc_envelope *envelope);

#endif
