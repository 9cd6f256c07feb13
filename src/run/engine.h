/* The run engine: turns accepted runs into ended ones.  Its state changes by events alone, and every event goes through the journal
 * (run/event.c); what an event causes outside (a process started, a request sent) happens in engine_act(), after the turn's commit.
 * This header is shared by the files of the room; the daemon uses the functions at its end. */
#ifndef RUN_ENGINE_H
#define RUN_ENGINE_H

#include "base/ulid.h"
#include "journal/journal.h"
#include "loop/helper.h"
#include "loop/loop.h"
#include "project/project.h"
#include "rpc/rpc.h"
#include "run/artifact.h"
#include "run/command.h"
#include "run/failure.h"
#include "run/intake.h"
#include "run/mask.h"
#include "run/table.h"

#include <string.h>

/* --- integration processes (run/process.c) ------------------------------------------------------------------------ */

/*                          answered                    answered
 *   free ─take─► launching ─► setup ───────► idle ◄──────────── executing        cancelling: `cancel` was sent
 *                   │           │refused      │ ▲────execute────►│                 answered → teardown, grace → terminating
 *                   │           ▼             ▼                  ▼
 *                   │        closing ◄─── teardown           cancelling          protocol errors lead to terminating,
 *                   ▼           │grace        │grace            │                 an exit from anywhere to gone
 *                  gone ◄── terminating ◄─────┴─────────────────┘
 *                     ◄─grace─► killing                                                                              */
enum process_state {
    PROCESS_FREE,
    PROCESS_LAUNCHING,   /* to be started after the commit */
    PROCESS_SETUP,       /* setup sent or being sent */
    PROCESS_IDLE,        /* nothing in flight */
    PROCESS_EXECUTING,   /* execute sent or being sent */
    PROCESS_CANCELLING,  /* asked to stop */
    PROCESS_TEARDOWN,    /* teardown sent */
    PROCESS_CLOSING,     /* its stdin is closed */
    PROCESS_TERMINATING, /* SIGTERM sent */
    PROCESS_KILLING,     /* SIGKILL sent */
    PROCESS_GONE,        /* reaped */
    PROCESS_STATES
};

enum process_event {
    PROCESS_LAUNCHED,
    PROCESS_ANSWERED, /* the answer to what was in flight, and it is good */
    PROCESS_REFUSED,  /* setup answered with an error */
    PROCESS_EXECUTE,  /* the engine hands it a step */
    PROCESS_CANCEL,   /* timeout, cancel, shutdown: what is in flight shall stop */
    PROCESS_RELEASE,  /* nobody needs it any more */
    PROCESS_BROKEN,   /* it broke the protocol */
    PROCESS_GRACE_OVER,
    PROCESS_EXITED,
    PROCESS_EVENTS
};

/* PROCESS_STATES where the event is impossible in that state. */
enum process_state process_next(enum process_state state, enum process_event event);

enum { STEP_NONE = LIMIT_STEPS };

struct process {
    struct engine *engine;
    uint8_t state;    /* enum process_state */
    uint8_t step;     /* that it executes, or STEP_NONE */
    uint8_t log_step; /* the last step that it served: its late log lines belong there */
    uint8_t integration;
    struct run *run;
    char name[LIMIT_NAME + 1]; /* of the integration */
    int64_t pid;
    int64_t uid, gid; /* that it runs as; -1: as we do */
    struct loop_fd in, out, err;
    bool in_ready; /* its stdin takes bytes, as far as we know */
    bool exited;
    bool cancel_due; /* `cancel` is to be sent after the commit */
    int exit_code, signal;
    struct loop_timer deadline; /* of the attempt, setup included */
    struct loop_timer grace;    /* of the present wait for its end */
    int64_t timeout_ms;         /* of the attempt; 0: none, only its setup is bounded */
    unsigned last_id;           /* of the request in flight or of the last one */
    /* the request that is being sent */
    uint8_t request; /* which it is: the state that it was begun in */
    bool sending;
    uint64_t sent, request_length;
    int64_t request_deadline_ms; /* `deadline_ms` as the request says it; -1: null */
    bool torn;                   /* the beginning of a line was dropped: its rest is to follow it */
    bool storing;     /* a helper makes an artifact of its answer; the intake keeps its line */
    bool store_waits; /* that helper has not begun: another one works, or space is made */
    /* what is to be stored, read in the helper */
    uint64_t store_from, store_length;
    bool warned_unknown; /* one warning about notifications that nobody knows */
    size_t err_n;        /* bytes of a stderr line */
    bool err_cut;        /* that line was too long; its rest is dropped */
    size_t tail_n;
    /* Small things end here, with the beginning of the intake: what every process uses.  The pages behind that only some touch. */
    struct intake intake;
    struct failure failure; /* why the attempt will have failed; FAILURE_NONE: it has not */
    struct helper store;
    char store_answer[1024];
    char store_path[LIMIT_PATH]; /* a file inside artifacts_dir, or "": a JSON value */
    char store_media[128];
    char err_line[LIMIT_LOG_LINE];
    char tail[LIMIT_STDERR]; /* the last stderr lines of the attempt, each with a line feed */
};

/* --- work in helpers on behalf of a caller (run/job.c) ------------------------------------------------------------- */

enum job_kind {
    JOB_FREE,
    JOB_SUBMIT,
    JOB_COMPARE,
    JOB_LIST,
    JOB_SHOW,
    JOB_STATUS,
    JOB_ARTIFACTS,
    JOB_ANSWERS,
    JOB_DECIDED
};

struct job {
    enum job_kind kind;
    struct engine *engine;
    struct rpc_call call;
    struct helper helper;
    char run_id[LIMIT_RUN_ID + 1];
    char workflow_id[LIMIT_NAME + 1];
    char actor[LIMIT_KEY + 1];
    char step_id[LIMIT_NAME + 1];
    enum run_event decided; /* the event that a decision is looked for in */
    struct str fields;      /* of an input step; a view as the next */
    struct str inputs;      /* a view of the request, good until the helper was forked */
    size_t labels_n;
    char labels_text[LIMIT_LABELS * (6 * LIMIT_LABEL_KEY + LIMIT_LABEL_VALUE +
                                     8)]; /* compact, as run.created says them */
    char buffer[LIMIT_MESSAGE + 4096];
};

/* --- all of it ----------------------------------------------------------------------------------------------------- */

/* Bytes of a plan.json, kept because every event asks for its step's names, and every request for those of all steps before it.  The file never
 * changes. */
struct source_window {
    const struct run *run; /* NULL: nobody's */
    uint64_t seq;          /* its created_seq: slots are used again */
    uint32_t from, n;
    char bytes[4096];
};

/* The names of the step that was asked for last: logs come many at a time. */
struct source_names {
    const struct run *run; /* NULL: nobody's */
    uint64_t seq;          /* its created_seq */
    unsigned index;
    char id[LIMIT_NAME + 1], output[LIMIT_NAME + 1];
};

/* Shared buffers, each used inside one call tree at a time; untouched pages cost nothing. */
struct engine_scratch {
    const struct run *step_run; /* whose line is in `step`; NULL: nobody's */
    uint64_t step_seq;          /* its created_seq: slots are used again */
    unsigned step_index;
    struct str step_raw;
    struct journal_place event_place;
    struct str event_raw;
    struct source_names names;                   /* which were read last */
    struct source_window plan;                   /* and where */
    char step[LIMIT_PROJECT_FILE + 4096];        /* a step's line of plan.json */
    char section[2 * LIMIT_PROJECT_FILE + 4096]; /* integrations or outputs of plan.json */
    char event[LIMIT_RECORD];                    /* an event read back */
    char line[LIMIT_MESSAGE + 64];               /* a line of an integration */
    char value[LIMIT_MESSAGE];                   /* a resolved string, a secret */
    char environment[32768];                     /* of a child that is being started */
    char condition[4096];                        /* the text of an `if` */
    char path[2 * LIMIT_PATH];                   /* of a file that is about to be opened */
    char file[4096];                             /* of an artifact, on its way into a request */
    char secret[LIMIT_TOKEN];                    /* that a template names */
    char learnt[LIMIT_TOKEN], learnt_words[LIMIT_TEXT]; /* one that the mask learns */
    char chunk[16384];                                  /* plan lines, templates' texts */
    char chunk_out[16384], chunk_err[16384];            /* what integrations write */
};

struct engine_metrics {
    uint64_t steps_started, processes_started, runs_ended;
};

struct engine {
    struct command_table commands;
    struct mask mask;
    /* What an idle daemon touches stands together. */
    _Alignas(4096) struct loop *loop;
    struct journal *journal;
    struct project *project;
    struct project_workspace *workspace;
    char daemon_id[LIMIT_DAEMON_ID + 1];
    struct ulid ulid;
    unsigned executing; /* steps in flight */
    bool stopping;      /* no new runs, no new steps */
    bool job_ended;     /* in this turn: who found no helper, or waits for a command, may go on */
    bool superseded;    /* no new runs: another daemon has taken over */
    bool following;     /* in a helper: an ended run is followed once more, and kept */
    bool paused;        /* by the gateway: queued runs stay so */
    bool work;          /* some run wants attention */
    bool act;           /* some process wants engine_act() */
    enum err fatal;     /* the journal failed: the daemon ends with exit 6 */
    bool held;          /* integrations are not read: pressure_holds() */
    /* Called where an event must be written and the disk takes nothing: waits a while; false: it is no use. */
    bool (*on_no_space)(void *context);
    void *on_no_space_context;
    bool store_busy;   /* a helper makes an artifact of some process's answer */
    size_t store_last; /* whose */
    struct {
        struct helper helper;
        struct run *run; /* whose outputs a helper is storing; NULL: nobody's */
        char answer[1024];
    } outputs;
    struct {
        uint64_t lost,
            found; /* events that a salvaged journal lacks; of these, whose run is known */
    } salvage;
    struct helper remover; /* removes directories of runs that nobody retains */
    char remover_answer[64];
    bool remover_wanted;
    struct engine_metrics metrics;
    int spare_fd; /* so that plan.json can be read when there is no descriptor left; 0: none */
    /* From its runs on, nothing is kept where no run goes on: see engine_rest(). */
    struct run_table table;
    struct engine_scratch scratch;
    struct process processes[LIMIT_PROCESSES];
    struct job jobs[LIMIT_SUBMISSIONS];
};

/* --- events (run/event.c) ------------------------------------------------------------------------------------------ */

/* As journal_begin(), but waits where the disk takes nothing. */
enum err event_open(struct engine *engine, const struct journal_event *event,
                    struct json_writer **data);
/* Begins an event of a run, with the writer inside `data`; NULL when the journal has failed (engine->fatal is set). */
struct json_writer *event_begin(struct engine *engine, struct run *run, enum run_event type,
                                int step);
/* Ends it and applies it to the run and step. `memo` writers, where needed, come in between. */
struct json_writer *event_memo(struct engine *engine);
bool event_end(struct engine *engine, struct run *run, enum run_event type, int step);
/* The same with what else belongs to an event: members are zero where they do not apply. */
struct event_end {
    uint32_t value_bytes;              /* step.completed: of an inline value */
    bool denied;                       /* it denies the run */
    const struct rpc_command *command; /* the command that caused it, to be remembered with it */
    struct journal_place *place;       /* out: where it stands */
};
bool event_end_full(struct engine *engine, struct run *run, enum run_event type, int step,
                    const struct event_end *how);
/* What run.created fills of a slot besides its numbers; false when that is malformed. */
bool event_take_created(struct run *run, struct str data, const char *digest);
/* Both for an event with fixed data: a reason, or nothing. */
void event_reason(struct engine *engine, struct run *run, enum run_event type, int step,
                  const char *reason);
/* A record of the journal at start-up; ERR_DAMAGED when it contradicts what came before. */
enum err event_replay(struct engine *engine, const struct journal_record *record);
/* 64 hex digits; false for anything else. */
bool event_read_digest(const char *hex, unsigned char digest[32]);
/* Writes channel, actor and by. */
void event_who(struct json_writer *w, const struct rpc_call *call, const char *actor);

/* --- reading back (run/source.c) ------------------------------------------------------------------------------------ */

void source_run_path(const struct engine *engine, const char *run_id, const char *name,
                     char path[LIMIT_PATH]);
/* Fills a run's step records and sections from the line structure of its plan.json. */
enum err source_index_plan(struct engine *engine, struct run *run);
/* Keeps the descriptor that reading a plan may need. */
void source_keep_spare(struct engine *engine);
/* How many steps plan.json says that it has. */
enum err source_count_steps(const struct engine *engine, const char *run_id, unsigned *steps);
/* The step's line as a raw object, in scratch.step. */
enum err source_step(struct engine *engine, const struct run *run, unsigned index, struct str *raw);
/* The step's id and the name of its output ("" for none); the scratch's texts stay as they are. */
enum err source_names(struct engine *engine, const struct run *run, unsigned index,
                      char id[LIMIT_NAME + 1], char output[LIMIT_NAME + 1]);
enum err source_integrations(struct engine *engine, const struct run *run,
                             struct str *raw); /* scratch.section */
enum err source_outputs(struct engine *engine, const struct run *run,
                        struct str *raw); /* scratch.section */
/* The `data` of an event, in scratch.event. */
enum err source_data(struct engine *engine, struct journal_place place, struct str *data);
/* The member of a raw step that is a string, decoded; "" where it is null or missing. */
void source_text(struct str raw_object, const char *name, char *to, size_t size);

/* --- secrets (run/secret.c) ------------------------------------------------------------------------------------------ */

/* Reads the value of a declaration ({"env":…} or {"file":…}) into `text` and teaches it to the mask.  ERR_NOT_FOUND: it cannot be read;
 * ERR_INVALID: it cannot be hidden; with reason (LIMIT_TEXT bytes). */
enum err engine_secret(struct engine *engine, struct str declaration, char *text, size_t size,
                       struct str *value, char *reason);
/* Teaches all that can be read now of those that a charter.yml (as JSON) declares; false with a reason when one cannot be hidden. */
bool engine_learn_secrets(struct engine *engine, struct str config, char reason[LIMIT_TEXT]);

/* --- templates against a run (run/resolve.c) ------------------------------------------------------------------------ */

struct scope {
    struct engine *engine;
    struct run *run;
    unsigned step; /* that asks; its later neighbours are unknown to it */
    bool secrets;  /* config and env alone may name them */
    char *reason;  /* of a failure: LIMIT_TEXT bytes */
};

struct resolved {
    struct str raw; /* a raw value; lives until the next use of scratch.event or scratch.value */
    bool artifact;  /* raw is the daemon's own reference to a file */
};

/* The value of a step that has ended; null when it has none. */
enum err resolve_step(const struct scope *scope, unsigned index, struct resolved *resolved);
/* ERR_NOT_FOUND with reason. */
enum err resolve_path(const struct scope *scope, struct str path, struct resolved *resolved);

/* --- requests (run/request.c) ---------------------------------------------------------------------------------------- */

/* Where generated bytes go: the first `skip` are dropped, the next are written to fd; -1 counts only. */
struct request_sink {
    int fd;
    uint64_t skip, at, sent;
    uint64_t hydrated; /* bytes that came from artifact files */
    struct out chunk;
    enum err err;       /* sticky: ERR_AGAIN when the pipe is full */
    struct out *memory; /* instead of fd: whole text into a buffer */
    char buffer[4096];
};

/* What is skipped was sent before; the buffer stays as it is. */
static inline void request_sink_begin(struct request_sink *sink, int fd, uint64_t skip)
{
    memset(sink, 0, offsetof(struct request_sink, buffer));
    sink->fd = fd;
    sink->skip = skip;
}

void sink_add(struct request_sink *sink, struct str bytes);
void sink_flush(struct request_sink *sink);
/* A raw value with its templates resolved; artifacts named alone are hydrated where `hydrate`. */
enum err request_value(const struct scope *scope, struct request_sink *sink, struct str raw,
                       bool hydrate);
/* A raw string with its templates resolved, which stays a string even where one stands alone. */
enum err request_string(const struct scope *scope, struct request_sink *sink, struct str raw);
/* The whole request in flight of a process, with its line feed. */
enum err request_generate(const struct scope *scope, struct request_sink *sink,
                          const struct process *process);
/* A raw string with templates resolved and decoded to plain text; other scalars as written. */
enum err request_text(const struct scope *scope, struct str raw, struct out *to);

/* --- processes (run/process.c, run/reader.c, run/store.c) ----------------------------------------------------------- */

/* The process for the step's integration: an idle one of the run, or a free slot; NULL: none free. */
struct process *process_take(struct engine *engine, struct run *run, unsigned step,
                             const char *integration, unsigned integration_index,
                             int64_t timeout_ms);
void process_cancel(struct engine *engine, struct process *process);
/* Gives back what the last work has touched; for when there is nothing to do (run/rest.c). */
void engine_rest(struct engine *engine);
void process_release(struct engine *engine, struct process *process);
/* The next harder step towards its end: SIGTERM, then SIGKILL. */
void process_terminate(struct engine *engine, struct process *process);
void process_close_out(struct engine *engine, struct process *process);
void process_close_err(struct engine *engine, struct process *process);
void process_change(struct engine *engine, struct process *process, enum process_event event);
void process_log(struct engine *engine, struct process *process, const char *stream,
                 const char *level, struct str message);
void process_launch(struct engine *engine, struct process *process); /* run/launch.c */
void process_make_directory(struct engine *engine, const struct process *process);
void process_send(struct engine *engine, struct process *process);
void processes_act(struct engine *engine);
void reader_out(struct engine *engine, struct process *process); /* one bounded read */
void reader_err(struct engine *engine, struct process *process);
void reader_out_rest(struct engine *engine,
                     struct process *process); /* what an ended process has left in the pipe */
void reader_err_rest(struct engine *engine, struct process *process);
/* A broken protocol: the attempt fails, the process is put to an end. */
void process_broke(struct engine *engine, struct process *process, enum failure_kind kind,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
/* A whole line stands in the process's intake (run/conversation.c). */
void conversation_line(struct engine *engine, struct process *process);
/* Makes an artifact of what process->store_… names, in a helper, when its turn comes. */
void store_start(struct engine *engine, struct process *process);
/* Begins what waits, where nothing is in its way any more. */
void store_next(struct engine *engine);
/* Ends all of it. */
void store_give_up(struct engine *engine);

/* --- what the processes tell the engine (run/engine.c) --------------------------------------------------------------- */

/* The attempt has a value: raw text, or (raw empty) one that was stored: `reference` is its raw reference. */
void engine_step_value(struct engine *engine, struct process *process, struct str raw,
                       struct str reference);
/* The attempt has failed as process->failure says. */
void engine_step_failed(struct engine *engine, struct process *process);
void engine_attend(struct engine *engine, struct run *run);

/* --- attempts, starts and ends (run/attempt.c, run/starting.c, run/ending.c) ----------------------------------------- */

/* The attempt in flight, or the step before its first one, has failed: tried again, or failed for good. */
void attempt_fail(struct engine *engine, struct run *run, unsigned step,
                  const struct process *process, const struct failure *failure);
/* The same without a process: its `if` or its plan is at fault, or the daemon's end. */
void attempt_fail_early(struct engine *engine, struct run *run, unsigned step,
                        enum failure_kind kind, const char *message);
void attempt_interrupt(struct engine *engine, struct run *run, unsigned step, const char *reason);

/* The `by` of a decision that a timeout made. */
#define WAITING_TIMEOUT "timeout"

enum step_start {
    STEP_STARTS,
    STEP_WAITS /* for a free place */,
    STEP_ENDS /* skipped or failed: look at the next */
};
enum step_start step_start(struct engine *engine, struct run *run, unsigned step);

/* Says the run's last event by its outcome, and retires it. */
void ending_end(struct engine *engine, struct run *run);
void ending_succeed(struct engine *engine, struct run *run, struct str outputs);
/* Outputs too long for an event: ends the run when they are stored (run/outputs.c). */
void outputs_store(struct engine *engine, struct run *run);
void ending_cancel(struct engine *engine, struct run *run);
/* With a failure of the run itself, or (NULL) that of its failed step. */
void ending_fail(struct engine *engine, struct run *run, const struct failure *failure);
void engine_attend_all(struct engine *engine);
/* Says run.started where there is a place; its steps come with the next engine_advance(). */
void engine_let_in(struct engine *engine, struct run *run);

/* --- a journal that gets full (run/pressure.c) ------------------------------------------------------------------------- */

bool pressure_drops_logs(const struct engine *engine);
bool pressure_refuses_runs(struct engine *engine);
/* Unfinished runs need half of the limit: no more runs, and values that are not small become artifacts. */
bool pressure_is_live(struct engine *engine);
/* Whether only the reserve is left: then integrations are not read, until there is space again. */
bool pressure_holds(struct engine *engine);
/* What gives way now: "none", "logs_dropped", "runs_refused" (and logs dropped), both for "no_space" (no segment can be begun),
 * or "integrations_wait" as well. */
const char *pressure_name(struct engine *engine);
/* True: this log or progress of `bytes` bytes is not to be written; it has been counted. */
bool pressure_drop(struct engine *engine, struct run *run, size_t bytes);
/* Says events.dropped when the pressure has gone, the run ends, or from time to time. */
void pressure_tell(struct engine *engine, struct run *run, bool ending);

/* --- segments that are to go (run/checkpoint.c) ------------------------------------------------------------------------ */

/* Called when the journal begins a segment: appends what a start must know of the older ones. */
void checkpoint_write(struct engine *engine);

enum engine_carried {
    CARRY_DONE, /* no unfinished run needs anything up to that segment */
    CARRY_GOES_ON, /* some of it was carried, or there was no room: to be called again after a commit */
    CARRY_FAILED /* it cannot be read: the segment must stay */
};
/* Carries what unfinished runs need of the segments up to this one into the newest; a bounded part of it a call. */
enum engine_carried engine_carry(struct engine *engine, uint32_t segment);
/* Bytes in the journal that unfinished runs need: what carrying all of it would cost. */
int64_t engine_live_bytes(struct engine *engine);
/* After the replay of a salvaged journal: lost events that no run is known to miss may be the last ones of any run that has said nothing
 * since.  Says how many runs cannot go on: engine_resume() fails them. */
unsigned engine_settle_salvage(struct engine *engine);
/* Gives up what unfinished runs need of these segments: it cannot be read, and they cannot go on. */
void engine_give_up(struct engine *engine, uint32_t segment);
/* Whether a helper reads events just now: then no segment may go. */
bool engine_is_reading(const struct engine *engine);

/* --- for the daemon -------------------------------------------------------------------------------------------------- */

void engine_start(struct engine *engine, struct loop *loop, struct journal *journal,
                  struct project *project, struct project_workspace *workspace);
/* After the replay: what was in flight when the last daemon ended is interrupted, unfinished runs go on. */
void engine_resume(struct engine *engine, bool crashed);
/* Before the commit: decides what happens next in every run that wants attention. */
void engine_advance(struct engine *engine);
/* Monotonic time at which a run or a retry is due, or -1. */
int64_t engine_next_ms(const struct engine *engine);
/* After the commit: starts processes and sends requests. */
void engine_act(struct engine *engine);
bool engine_reaped(struct engine *engine, int64_t pid, int exit_code, int signal);
/* Whether the process with that pid is one of its integrations, alive. */
bool engine_knows(const struct engine *engine, int64_t pid);
/* No new steps; executing ones get the grace time, then are interrupted.  now: without grace. */
void engine_stop(struct engine *engine, bool now);
/* Removes the directories of runs that are retained no longer, in a helper. */
void engine_clean_up(struct engine *engine);
/* Of a run that goes on after a start: what interrupted steps have left. */
void cleanup_halves(struct engine *engine, const struct run *run);
/* After replay: forgets ended runs whose directories have gone. */
void cleanup_ended(struct engine *engine);
/* Cancels every run, as the daemon itself. */
void engine_cancel_all(struct engine *engine, const char *reason);
/* No process is left and no helper runs. */
bool engine_is_quiet(const struct engine *engine);
/* Steps of any run are in flight. */
bool engine_is_executing(const struct engine *engine);
void engine_write_hello_runs(struct engine *engine, struct json_writer *w);
/* The run's object (contract §5), of a run that has not ended or, where `run` is NULL, of one that has.  In as much room as there is, errors are
 * shortened where it does not fit otherwise.  `must_fit`: what cannot be shortened is left out, down to what the run is and how it stands. */
void view_row(struct engine *engine, struct json_writer *w, struct run *run,
              const struct ended_run *ended, bool must_fit);
/* With steps and outputs. */
void view_run_whole(struct engine *engine, struct json_writer *w, struct run *run, bool must_fit);
/* In a helper alone, as it uses the table up.  False: its events are held no longer. */
bool view_ended_whole(struct engine *engine, struct json_writer *w, const struct ended_run *ended,
                      bool must_fit);
/* The error -32011 for an ended run (contract §7), with its last decision of this kind, at that step or ("") at any. In a helper alone. */
void view_decision(struct engine *engine, const struct ended_run *ended, enum run_event type,
                   const char *step_id, struct rpc_error *error);
/* The artifacts of a run; in a helper alone.  False: its events are held no longer. */
bool view_artifacts(struct engine *engine, struct json_writer *w, const char *run_id);

/* Methods (run/methods.c, run/job.c); context is the engine. */
void run_on_start(void *context, struct rpc_call *call, struct str params);
void run_on_resume(void *context, struct rpc_call *call, struct str params);
void run_on_submit_input(void *context, struct rpc_call *call, struct str params);
void run_on_cancel(void *context, struct rpc_call *call, struct str params);
void run_on_status(void *context, struct rpc_call *call, struct str params);
void run_on_list(void *context, struct rpc_call *call, struct str params);
void run_on_workflows_list(void *context, struct rpc_call *call, struct str params);
void run_on_workflows_show(void *context, struct rpc_call *call, struct str params);
void run_on_artifacts(void *context, struct rpc_call *call, struct str params);
bool run_on_command(void *context, struct rpc_call *call, const struct rpc_method *method,
                    struct str params);

#endif
