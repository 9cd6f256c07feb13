/* Gates and input steps (contract §3): run/waiting.c. */
#ifndef RUN_WAITING_H
#define RUN_WAITING_H

#include "run/engine.h"

enum waiting_kind { WAITING_GATE, WAITING_INPUT };

/* Says step.started and run.waiting.  STEP_ENDS: the next step may be looked at. */
enum step_start waiting_open(struct engine *engine, struct run *run, unsigned step,
                             struct str step_raw);
/* The gate's decision, by a caller or (call NULL) by its timeout: run.resumed, step.completed. */
void waiting_decide(struct engine *engine, struct run *run, unsigned step, bool approve,
                    const char *comment, const char *actor, const struct rpc_call *call);
/* Checked answers: run.input_submitted, step.completed.  False: too long for an event; nothing happened. */
bool waiting_submit(struct engine *engine, struct run *run, unsigned step, struct str answers,
                    const char *actor, const struct rpc_call *call);
/* After a restart: what was answered but not completed, because the daemon's end came in between. */
void waiting_finish(struct engine *engine, struct run *run, unsigned step);
/* Its time is over: on_timeout. */
void waiting_time_out(struct engine *engine, struct run *run, unsigned step);
/* The run has come to another end. */
void waiting_close(struct engine *engine, struct run *run, unsigned step, const char *why);
/* After a restart: the rest of a time by wall clocks, at most all of it (contract §4). */
int64_t waiting_left(int64_t now_ms, int64_t deadline_ms, int64_t timeout_ms);
/* After a restart: the step's deadline is set anew. */
void waiting_resume(struct engine *engine, struct run *run, unsigned step);
/* The one open step that a caller means; false after an answer that says why there is none. */
bool waiting_find(struct engine *engine, struct rpc_call *call, struct run *run,
                  enum waiting_kind kind, const char *step_id, unsigned *found);
/* The members waiting_for and waiting of the run object. */
void waiting_write(struct engine *engine, struct json_writer *w, struct run *run);
/* The declarations of an open input step, in scratch.event. */
bool waiting_fields(struct engine *engine, struct run *run, unsigned step, struct str *fields);

#endif
