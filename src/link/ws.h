/* One end of a WebSocket (RFC 6455) over a transport: whole messages in, whole messages out.  It is the only user of
 * wslay here, and only of its frame API, which unmasks, masks and lays out frames; every rule above that is ours:
 * reserved bits, opcodes, masks, minimal lengths, the order of fragments, UTF-8 across them, control frames, close
 * codes, sizes.  Messages that are too long are refused as soon as the frame's header shows it.
 *
 * Nothing is allocated after ws_open(): one wslay context serves one connection after the other.
 * Both ends are here because the tests let them talk to each other; the daemon is always the client. */
#ifndef LINK_WS_H
#define LINK_WS_H

#include "base/limits.h"
#include "base/utf8.h"
#include "base/websocket.h"
#include "link/transport.h"

#define WS_INPUT 4096
/* A quarter of a message: the more leaves at once, the less each message costs; the less, the sooner a pong has its turn. */
#define WS_OUTPUT (LIMIT_MESSAGE / 4 < 32768 ? LIMIT_MESSAGE / 4 : 32768)
#define WS_FRAMES_STATE 256
#define WS_KEYS 32 /* random ones that one call of the system gives */

enum ws_role { WS_CLIENT, WS_SERVER };

enum { WS_NO_STATUS = 1005, WS_LOST = 1006 }; /* codes that never stand in a frame */

struct wslay_frame_context;

struct ws {
    /* First, because they are not cleared: what was never used is never touched. */
    char input[WS_INPUT];
    unsigned char output[WS_OUTPUT];
    /* Where wslay takes its context from us: input of its own, which is empty between two frames, and behind that its state. */
    _Alignas(16) unsigned char frames_input[4096];
    unsigned char frames_state[WS_FRAMES_STATE];

    struct wslay_frame_context *frames;
    struct transport *transport;
    enum ws_role role;

    /* receiving */
    char *message; /* the caller's buffer */
    size_t message_max, message_n;
    bool in_message, is_text;
    struct utf8_stream utf8;
    size_t input_at, input_n; /* read, not yet given to wslay: [input_at, input_n) */
    bool in_frame, fin;
    unsigned char opcode;
    uint64_t give; /* bytes of the present frame, header included, that wslay may still get */
    uint64_t payload_left; /* bytes of its payload that wslay has not given back yet */
    unsigned char control[WEBSOCKET_CONTROL_MAX];
    size_t control_n;
    bool is_ending; /* ws_reset() is feeding zeros */
    bool has_more;  /* the last ERR_AGAIN was our bound on work, not the transport's end */

    /* sending */
    size_t output_at, output_n; /* whole frames, not yet sent: [output_at, output_n) */
    bool is_blocked; /* the transport wants these same bytes again: nothing is added to them */
    bool is_sending; /* a message has fragments that are framed, and others that are not */
    size_t sending_n, sent;         /* its size, and how much of it is framed */
    unsigned char keys[WS_KEYS][4]; /* for masks; each is used once */
    size_t keys_left;
    unsigned char pong[WEBSOCKET_CONTROL_MAX];
    size_t pong_n;
    bool pong_due, ping_due, close_due, close_sent;
    unsigned close_code;
    char close_reason[WEBSOCKET_REASON_MAX + 1];

    /* what the peer did */
    unsigned fault_code; /* after ERR_SYNTAX: what to close with */
    const char *fault;   /* and why; static storage */
    bool close_received;
    unsigned peer_code; /* WS_NO_STATUS where it gave none */
    char peer_reason[WEBSOCKET_REASON_MAX + 1];

    /* of this connection */
    uint64_t bytes_in, bytes_out, messages_in, messages_out, pings_in, pongs_in;
    int64_t pinged_us;     /* when the ping left that has no answer yet; 0: there is none */
    int64_t round_trip_us; /* of the last ping that was answered; -1: none was */
};

/* Makes the wslay context; ERR_IO: no memory.  For the start of the program. */
enum err ws_open(struct ws *ws, enum ws_role role);
void ws_free(struct ws *ws);
/* A new connection.  `message` holds the longest message that is taken; it stays the caller's. */
void ws_reset(struct ws *ws, struct transport *transport, char *message, size_t message_max);

/* Reads once from the transport into the input: for the opening handshake, whose last read may hold frames already. */
enum err ws_fill(struct ws *ws);
struct str ws_input(const struct ws *ws);
void ws_skip(struct ws *ws, size_t n);

/* The next message: valid until the next call.  ERR_AGAIN: none yet.  ERR_END: the peer's close frame has come (see close_received)
 * or its connection ended without one.  ERR_SYNTAX: it broke a rule, see fault; close and read no more.  All else: the
 * transport has failed.  Reads at most about message_max bytes from the transport a call. */
enum err ws_receive(struct ws *ws, struct str *message, bool *is_text);

/* Reads and drops what comes after a fault, so that the peer gets to see our close frame: a socket that is closed with bytes
 * unread takes it back.  ERR_AGAIN, ERR_END and failures as of ws_receive(). */
enum err ws_discard(struct ws *ws);

/* Frames one message, and sends what the output cannot hold; short messages share the output, long ones go in fragments as
 * long as the output, so that control frames that are due stand between them and never wait for a message.  OK: all of it is framed, and
 * the rest goes with the next call or with ws_flush().  ERR_AGAIN: call again with the same message.  ERR_END: our
 * close frame has gone, the message will not.  All else: the transport has failed. */
enum err ws_send(struct ws *ws, struct str message, bool is_text);
/* Sends what is framed, and the control frames that are due. */
enum err ws_flush(struct ws *ws);
/* Gives the memory of its buffers, from `input` to `frames_input`, back where nothing stands in them; false: something does. */
bool ws_release(struct ws *ws);
bool ws_has_output(const struct ws *ws);
/* Queue one control frame each; a ping or close that is due already is not doubled.  Close gives up the message that is
 * being sent: the frame goes behind its last fragment that was framed. */
void ws_ping(struct ws *ws);
void ws_close(struct ws *ws, unsigned code, const char *reason);
bool ws_close_is_sent(const struct ws *ws); /* and has left our buffers */

#endif
