/* The part of the timers that the loop alone calls. */
#ifndef LOOP_TIMER_H
#define LOOP_TIMER_H

#include "loop/loop.h"

/* Calls on_due of all timers that are due at loop->now_ms, in the order of their times. */
void timer_dispatch(struct loop *loop);

#endif
