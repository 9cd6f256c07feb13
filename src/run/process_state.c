/* The life of an integration process as a pure function; the picture stands in run/engine.h. */
#include "run/engine.h"

enum process_state process_next(enum process_state state, enum process_event event)
{
    bool alive = state >= PROCESS_SETUP && state <= PROCESS_KILLING;

    switch (event) {
    case PROCESS_LAUNCHED:
        return state == PROCESS_LAUNCHING ? PROCESS_SETUP : PROCESS_STATES;
    case PROCESS_ANSWERED:
        if (state == PROCESS_SETUP || state == PROCESS_EXECUTING)
            return PROCESS_IDLE;
        if (state == PROCESS_CANCELLING) /* it has complied: it may clean up after itself */
            return PROCESS_TEARDOWN;
        return state == PROCESS_TEARDOWN ? PROCESS_CLOSING : PROCESS_STATES;
    case PROCESS_REFUSED:
        /* What was never set up has nothing to tear down. */
        return state == PROCESS_SETUP || state == PROCESS_TEARDOWN || state == PROCESS_CANCELLING
                   ? PROCESS_CLOSING
                   : PROCESS_STATES;
    case PROCESS_EXECUTE:
        return state == PROCESS_IDLE ? PROCESS_EXECUTING : PROCESS_STATES;
    case PROCESS_CANCEL:
        return state == PROCESS_SETUP || state == PROCESS_EXECUTING ? PROCESS_CANCELLING
                                                                    : PROCESS_STATES;
    case PROCESS_RELEASE:
        return state == PROCESS_IDLE ? PROCESS_TEARDOWN : PROCESS_STATES;
    case PROCESS_BROKEN:
        return alive && state < PROCESS_TERMINATING ? PROCESS_TERMINATING : PROCESS_STATES;
    case PROCESS_GRACE_OVER:
        if (state == PROCESS_CANCELLING || state == PROCESS_TEARDOWN || state == PROCESS_CLOSING)
            return PROCESS_TERMINATING;
        return state == PROCESS_TERMINATING ? PROCESS_KILLING : PROCESS_STATES;
    case PROCESS_EXITED:
        return alive || state == PROCESS_LAUNCHING ? PROCESS_GONE : PROCESS_STATES;
    case PROCESS_EVENTS:
        break;
    }
    return PROCESS_STATES;
}
