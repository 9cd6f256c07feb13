/* The states of the link and what leads from one to the next; pure.
 *
 *                             TUNNELLING and SECURING lie between CONNECTING and UPGRADING where there is a proxy, where
 *                             there is TLS (TUNNEL, SECURE); REDIRECTED leads from UPGRADING to RESOLVING again.
 *
 *      OFF ──CONFIGURED──▶ WAITING ──DUE──▶ RESOLVING ──RESOLVED──▶ CONNECTING ──OPENED──▶ UPGRADING
 *                             ▲                 │                       │                     │ UPGRADED
 *                             │◀─────LOST───────┴───────────────────────┴─────────────────────┤
 *                             │◀─────LOST──── CLOSING ◀──CLOSE── CONNECTED ◀──WELCOME───── HELLO
 *                             │◀─────LOST─────────────────────────────┴───────────────────────┘
 *
 * ENDED is LOST for good: OFF, whatever was under way.  SUPERSEDED and RETIRED lead to the states of that name from
 * everywhere; those are final.  What makes no sense in a state changes nothing. */
#ifndef LINK_STATE_H
#define LINK_STATE_H

#include "link/link.h"

enum link_event {
    LINK_EVENT_CONFIGURED, /* there is a gateway to dial */
    LINK_EVENT_DUE,        /* the wait is over */
    LINK_EVENT_RESOLVED,
    LINK_EVENT_TUNNEL, /* TCP is connected, to a proxy: CONNECT is said */
    LINK_EVENT_SECURE, /* the gateway can be spoken to: TLS begins */
    LINK_EVENT_OPENED, /* the transport is open */
    LINK_EVENT_REDIRECTED,
    LINK_EVENT_UPGRADED,
    LINK_EVENT_WELCOME, /* hello was answered */
    LINK_EVENT_CLOSE,   /* we begin the close handshake */
    LINK_EVENT_LOST,    /* the connection, or the attempt, is over: come back */
    LINK_EVENT_ENDED,   /* the same: stay away */
    LINK_EVENT_SUPERSEDED,
    LINK_EVENT_RETIRED
};

#define LINK_STATES (LINK_RETIRED + 1)
#define LINK_EVENTS (LINK_EVENT_RETIRED + 1)

enum link_state link_next_state(enum link_state state, enum link_event event);
const char *link_state_name(enum link_state state); /* "connected"… */

#endif
