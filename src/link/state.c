/* Owns the table of state.h's diagram. */
#include "link/state.h"

static bool is_final(enum link_state state)
{
    return state == LINK_SUPERSEDED || state == LINK_RETIRED;
}

/* The one step forward of each state. */
static const struct {
    enum link_event on;
    enum link_state to;
} forward[LINK_STATES] = {
    [LINK_OFF] = {LINK_EVENT_CONFIGURED, LINK_WAITING},
    [LINK_WAITING] = {LINK_EVENT_DUE, LINK_RESOLVING},
    [LINK_RESOLVING] = {LINK_EVENT_RESOLVED, LINK_CONNECTING},
    [LINK_CONNECTING] = {LINK_EVENT_OPENED, LINK_UPGRADING},
    [LINK_TUNNELLING] = {LINK_EVENT_OPENED, LINK_UPGRADING},
    [LINK_SECURING] = {LINK_EVENT_OPENED, LINK_UPGRADING},
    [LINK_UPGRADING] = {LINK_EVENT_UPGRADED, LINK_HELLO},
    [LINK_HELLO] = {LINK_EVENT_WELCOME, LINK_CONNECTED},
    [LINK_CONNECTED] = {LINK_EVENT_CLOSE, LINK_CLOSING},
    [LINK_CLOSING] = {LINK_EVENT_LOST, LINK_WAITING},
    [LINK_SUPERSEDED] = {LINK_EVENT_SUPERSEDED, LINK_SUPERSEDED},
    [LINK_RETIRED] = {LINK_EVENT_RETIRED, LINK_RETIRED},
};

enum link_state link_next_state(enum link_state state, enum link_event event)
{
    if (is_final(state))
        return state;
    if (event == forward[state].on)
        return forward[state].to;
    switch (event) {
    case LINK_EVENT_TUNNEL:
        return state == LINK_CONNECTING ? LINK_TUNNELLING : state;
    case LINK_EVENT_SECURE:
        return state == LINK_CONNECTING || state == LINK_TUNNELLING ? LINK_SECURING : state;
    case LINK_EVENT_REDIRECTED:
        return state == LINK_UPGRADING ? LINK_RESOLVING : state;
    case LINK_EVENT_CLOSE:
        return state == LINK_HELLO ? LINK_CLOSING : state;
    case LINK_EVENT_LOST:
        return state == LINK_OFF ? LINK_OFF : LINK_WAITING;
    case LINK_EVENT_ENDED:
        return LINK_OFF;
    case LINK_EVENT_SUPERSEDED:
        return LINK_SUPERSEDED;
    case LINK_EVENT_RETIRED:
        return LINK_RETIRED;
    default:
        return state;
    }
}

const char *link_state_name(enum link_state state)
{
    static const char *const names[LINK_STATES] = {
        [LINK_OFF] = "off",
        [LINK_WAITING] = "waiting",
        [LINK_RESOLVING] = "resolving",
        [LINK_CONNECTING] = "connecting",
        [LINK_TUNNELLING] = "tunnelling",
        [LINK_SECURING] = "securing",
        [LINK_UPGRADING] = "upgrading",
        [LINK_HELLO] = "hello",
        [LINK_CONNECTED] = "connected",
        [LINK_CLOSING] = "closing",
        [LINK_SUPERSEDED] = "superseded",
        [LINK_RETIRED] = "retired",
    };
    return names[state];
}
