/* Requests that a helper works on while their callers wait. */
#ifndef RUN_JOB_H
#define RUN_JOB_H

#include "run/engine.h"

/* Answers with the run as it is: at once, or by a helper where it has ended.  False: no helper is free, nothing was done. */
bool job_status(struct engine *engine, struct rpc_call *call, const char *run_id);
/* Checks the answers of an open input step in a helper, then submits them.  False: no helper is free. */
bool job_answers(struct engine *engine, struct rpc_call *call, struct run *run, unsigned step,
                 struct str answers, const char *actor);
/* -32011 for an ended run, with who decided (contract §5), which a helper finds.  False: no helper is free. */
bool job_decided(struct engine *engine, struct rpc_call *call, const char *run_id,
                 enum run_event type, const char *step_id);
/* Shared with run/submit.c: a free place or NULL; a job begun in it (always answered or put off: true); -32009. */
struct job *job_find_free(struct engine *engine);
bool job_start(struct engine *engine, struct rpc_call *call, struct job *job, enum job_kind kind);
void job_refuse_busy(struct engine *engine, struct rpc_call *call, const char *what);
/* The daemon is stopping: all are given up, their callers are told -32002. */
void jobs_cancel(struct engine *engine);
/* Whether a gateway's command is being worked on. */
bool job_has_command(const struct engine *engine);

/* Shared with run/methods.c: errors that are outcomes of commands are remembered, then told. */
void engine_refuse(struct engine *engine, struct rpc_call *call, const struct rpc_error *error);
/* The data of -32012: what the journal holds, and may hold. */
void engine_journal_figures(const struct engine *engine, struct rpc_error *error);
void engine_refuse_run(struct engine *engine, struct rpc_call *call, const char *run_id);
/* A command that caused no event of its own has a record of its own. */
void engine_remember(struct engine *engine, const struct rpc_command *command, const char *run_id);

/* Answers with the run as it is now. */
void engine_answer_run(struct engine *engine, struct rpc_call *call, struct run *run);

#endif
