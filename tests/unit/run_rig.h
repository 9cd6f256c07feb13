/* One run in an engine of its own, for the tests of what is read back: a real project folder with a plan.json in the line
 * form that the daemon indexes, a real journal, no loop turning.  Failures of the scaffolding itself end the test. */
#ifndef TESTS_UNIT_RUN_RIG_H
#define TESTS_UNIT_RUN_RIG_H

#include "run/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

extern struct engine engine; /* of the rig */
extern struct run *run;

int run_rig_start(void **state);
int run_rig_end(void **state);

/* Writes plan.json around these parts: the outputs (raw or "null"), the members of integrations, and `count` steps, a raw
 * object each. */
void run_rig_plan(const char *outputs, const char *integrations, const char *const *steps,
                  size_t count);
/* charter.yml as JSON. */
void run_rig_config(const char *config);
/* run.created and run.started, with raw inputs; the plan must be there. */
void run_rig_begin(const char *inputs);
void run_rig_started(int step);
void run_rig_completed(int step, const char *raw_value);
void run_rig_completed_artifact(int step, const char *content, size_t n, const char *media_type);
void run_rig_failed(int step, const char *raw_error);
void run_rig_skipped(int step);
/* Any event without data. */
void run_rig_event(enum run_event type, int step);
void run_rig_commit(void);
/* Forgets the table and reads the journal from its beginning, as a daemon does that starts again; run is NULL when the run
 * has ended. */
enum err run_rig_replay(void);

/* Lets the journal begin a segment, carries what the run needs into it and removes all older ones. */
void run_rig_turn_over(void);

/* A scope for step `step`, and the reason that it will get. */
struct scope run_rig_scope(int step);
extern char run_rig_reason[LIMIT_TEXT];

/* Writes a file relative to the project. */
void run_rig_file(const char *name, const char *bytes, size_t n);

#endif
