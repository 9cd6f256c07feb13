/* Gates and input steps: opened, answered once, closed by their timeout or with their run.  The first record in the journal decides; whoever comes
 * second is told who was first. */
#include "run/waiting.h"

#include "base/time.h"
#include "json/read.h"
#include "run/job.h"

#include <string.h>

/* --- opening --------------------------------------------------------------------------------------------------------------- */

static const char *word_for(enum waiting_kind kind)
{
    return kind == WAITING_GATE ? "gate" : "input";
}

/* The declaration in the step's line of plan.json. */
static bool declaration_of(struct str step_raw, enum waiting_kind *kind, struct str *declared)
{
    *kind = WAITING_GATE;
    if (json_member(step_raw, "gate", declared) && json_type(*declared) == JSON_OBJECT)
        return true;
    *kind = WAITING_INPUT;
    return json_member(step_raw, "input", declared) && json_type(*declared) == JSON_OBJECT;
}

static int64_t timeout_of(struct str declared)
{
    struct str raw;
    int64_t timeout_ms = 0;
    if (json_member(declared, "timeout_ms", &raw))
        (void)json_integer(raw, &timeout_ms);
    return timeout_ms;
}

enum step_start waiting_open(struct engine *engine, struct run *run, unsigned step,
                             struct str step_raw)
{
    char reason[LIMIT_TEXT] = "";
    struct scope scope = {.engine = engine, .run = run, .step = step, .reason = reason};
    struct out text = OUT_ON(engine->scratch.line);
    struct request_sink sink = {.fd = -1, .memory = &text};
    struct str declared, message = STR("\"\""), fields = STR_NONE;
    enum waiting_kind kind;

    if (!declaration_of(step_raw, &kind, &declared)) {
        attempt_fail_early(engine, run, step, FAILURE_TEMPLATE,
                           "the run's plan.json cannot be read");
        return STEP_ENDS;
    }
    if (!json_member(declared, "message", &message) || json_type(message) != JSON_STRING)
        message = STR("\"\"");
    enum err err = request_string(&scope, &sink, message);
    if (err != OK || text.overflow || text.n > LIMIT_INLINE_VALUE) {
        attempt_fail_early(engine, run, step, FAILURE_TEMPLATE,
                           reason[0] != '\0' ? reason : "its message is too long");
        return STEP_ENDS;
    }
    int64_t timeout_ms = timeout_of(declared);
    (void)json_member(declared, "fields", &fields);

    struct json_writer *w = event_begin(engine, run, EVENT_STEP_STARTED, (int)step);
    if (w == NULL)
        return STEP_WAITS;
    json_put_text(w, "uses", word_for(kind));
    (void)event_end(engine, run, EVENT_STEP_STARTED, (int)step);

    w = event_begin(engine, run, EVENT_RUN_WAITING, (int)step);
    if (w == NULL)
        return STEP_WAITS;
    json_put_text(w, "for", word_for(kind));
    json_put_raw(w, "message", out_view(&text));
    if (kind == WAITING_INPUT)
        json_put_raw(w, "fields", fields);
    if (timeout_ms > 0)
        json_put_time(w, "deadline", engine->loop->wall_ms + timeout_ms);
    else
        json_put_null(w, "deadline");
    if (!event_end(engine, run, EVENT_RUN_WAITING, (int)step)) {
        attempt_fail_early(engine, run, step, FAILURE_TEMPLATE,
                           "its message and fields are too long for an event");
        return STEP_ENDS;
    }
    table_steps(&engine->table, run)[step].at_ms =
        timeout_ms > 0 ? engine->loop->now_ms + timeout_ms : 0;
    return STEP_ENDS; /* nothing executes: the next step is looked at */
}

/* --- answering --------------------------------------------------------------------------------------------------------------- */

static void complete(struct engine *engine, struct run *run, unsigned step, struct str value)
{
    char id[LIMIT_NAME + 1], output[LIMIT_NAME + 1];

    output[0] = '\0';
    (void)source_names(engine, run, step, id, output);
    struct json_writer *w = event_begin(engine, run, EVENT_STEP_COMPLETED, (int)step);
    if (w == NULL)
        return;
    json_put_raw(w, "value", value);
    json_put_text(w, "output", output[0] == '\0' ? NULL : output);
    (void)event_end_full(engine, run, EVENT_STEP_COMPLETED, (int)step,
                         &(struct event_end){.value_bytes = (uint32_t)value.n});
    engine_attend(engine, run);
}

/* A gate's value, {"decision","actor","comment"}, in scratch.line. */
static struct str gate_value(struct engine *engine, bool approve, const char *actor,
                             const char *comment)
{
    struct out text = OUT_ON(engine->scratch.line);
    struct json_writer w = json_writer(&text);

    json_object(&w);
    json_put_text(&w, "decision", approve ? "approve" : "deny");
    json_put_text(&w, "actor", actor[0] == '\0' ? NULL : actor);
    json_put_text(&w, "comment", comment[0] == '\0' ? NULL : comment);
    json_object_end(&w);
    return out_view(&text);
}

void waiting_decide(struct engine *engine, struct run *run, unsigned step, bool approve,
                    const char *comment, const char *actor, const struct rpc_call *call)
{
    struct json_writer *w = event_begin(engine, run, EVENT_RUN_RESUMED, (int)step);

    if (w == NULL)
        return;
    json_put_text(w, "decision", approve ? "approve" : "deny");
    json_put_text(w, "comment", comment[0] == '\0' ? NULL : comment);
    if (call != NULL) {
        event_who(w, call, actor);
    } else { /* its timeout has decided */
        json_put_null(w, "channel");
        json_put_null(w, "actor");
        json_put_text(w, "by", WAITING_TIMEOUT);
    }
    (void)event_end_full(engine, run, EVENT_RUN_RESUMED, (int)step,
                         &(struct event_end){.denied = !approve,
                                             .command = call != NULL && call->command.present
                                                            ? &call->command
                                                            : NULL});
    complete(engine, run, step, gate_value(engine, approve, actor, comment));
}

bool waiting_submit(struct engine *engine, struct run *run, unsigned step, struct str answers,
                    const char *actor, const struct rpc_call *call)
{
    struct json_writer *w = event_begin(engine, run, EVENT_RUN_INPUT_SUBMITTED, (int)step);

    if (w == NULL)
        return false;
    json_put_raw(w, "answers", answers);
    event_who(w, call, actor);
    if (!event_end_full(
            engine, run, EVENT_RUN_INPUT_SUBMITTED, (int)step,
            &(struct event_end){.command = call->command.present ? &call->command : NULL}))
        return false;
    complete(engine, run, step, answers);
    return true;
}

void waiting_finish(struct engine *engine, struct run *run, unsigned step)
{
    const struct step *record = &table_steps(&engine->table, run)[step];
    char actor[LIMIT_KEY + 1], comment[LIMIT_TEXT + 1], decision[16];
    struct out text = OUT_ON(engine->scratch.line);
    struct str data, answers;

    if (source_data(engine, record->ended, &data) != OK)
        return;
    if (json_member(data, "answers", &answers)) {
        out_str(&text, answers);
        complete(engine, run, step, out_view(&text));
        return;
    }
    source_text(data, "decision", decision, sizeof decision);
    source_text(data, "actor", actor, sizeof actor);
    source_text(data, "comment", comment, sizeof comment);
    complete(engine, run, step,
             gate_value(engine, strcmp(decision, "approve") == 0, actor, comment));
}

/* --- timeouts, ends ------------------------------------------------------------------------------------------------------------ */

static void fail_waiting(struct engine *engine, struct run *run, unsigned step,
                         enum failure_kind kind, const char *message, bool denied)
{
    struct failure failure;

    failure_set(&failure, kind, "%s", message);
    struct json_writer *w = event_begin(engine, run, EVENT_STEP_FAILED, (int)step);
    if (w == NULL)
        return;
    json_key(w, "error");
    failure_write(w, &failure, STR_NONE);
    (void)event_end_full(engine, run, EVENT_STEP_FAILED, (int)step,
                         &(struct event_end){.denied = denied});
    engine_attend(engine, run);
}

void waiting_time_out(struct engine *engine, struct run *run, unsigned step)
{
    enum waiting_kind kind = WAITING_GATE;
    struct str raw, declared = STR_NONE;
    char policy[16] = "deny";

    if (source_step(engine, run, step, &raw) == OK && declaration_of(raw, &kind, &declared))
        source_text(declared, "on_timeout", policy, sizeof policy);
    if (strcmp(policy, "fail") == 0)
        fail_waiting(engine, run, step, FAILURE_TIMEOUT, "nobody answered in time", false);
    else if (kind == WAITING_INPUT)
        fail_waiting(engine, run, step, FAILURE_TIMEOUT, "nobody answered in time", true);
    else
        waiting_decide(engine, run, step, strcmp(policy, "approve") == 0, "", "", NULL);
}

void waiting_close(struct engine *engine, struct run *run, unsigned step, const char *why)
{
    fail_waiting(engine, run, step, FAILURE_CANCELLED, why, false);
}

int64_t waiting_left(int64_t now_ms, int64_t deadline_ms, int64_t timeout_ms)
{
    if (now_ms < deadline_ms - timeout_ms)
        return timeout_ms; /* the clock stands before the beginning: it says nothing */
    return now_ms < deadline_ms ? deadline_ms - now_ms : 0;
}

void waiting_resume(struct engine *engine, struct run *run, unsigned step)
{
    struct step *record = &table_steps(&engine->table, run)[step];
    int64_t timeout_ms, deadline_ms, now_ms = engine->loop->wall_ms;
    char deadline[TIME_TEXT_LENGTH + 1];
    struct str raw, declared, data;
    enum waiting_kind kind;

    record->at_ms = 0;
    if (source_data(engine, record->ended, &data) != OK)
        return;
    source_text(data, "deadline", deadline, sizeof deadline);
    if (deadline[0] == '\0' || !time_read(str_of(deadline), &deadline_ms) ||
        source_step(engine, run, step, &raw) != OK || !declaration_of(raw, &kind, &declared))
        return;
    timeout_ms = timeout_of(declared);
    record->at_ms = engine->loop->now_ms + waiting_left(now_ms, deadline_ms, timeout_ms);
    if (record->at_ms == 0)
        record->at_ms = 1; /* 0 says: never */
}

/* --- who is asked -------------------------------------------------------------------------------------------------------------- */

/* Whether that step was decided, and by a decision of this kind. */
static bool was_decided(struct engine *engine, struct run *run, unsigned step,
                        enum waiting_kind kind)
{
    const struct step *record = &table_steps(&engine->table, run)[step];
    struct str data, found;

    return record->decided && source_data(engine, record->ended, &data) == OK &&
           json_member(data, kind == WAITING_GATE ? "decision" : "answers", &found);
}

/* What is open at a step, if it is of this kind: its run.waiting's data. */
static bool is_open(struct engine *engine, struct run *run, unsigned step, enum waiting_kind kind,
                    struct str *data)
{
    const struct step *record = &table_steps(&engine->table, run)[step];
    char word[8];

    if (record->state != STEP_WAITING || source_data(engine, record->ended, data) != OK)
        return false;
    source_text(*data, "for", word, sizeof word);
    return strcmp(word, word_for(kind)) == 0;
}

static bool is_named(struct engine *engine, struct run *run, unsigned step, const char *step_id)
{
    char id[LIMIT_NAME + 1], output[LIMIT_NAME + 1];
    return step_id[0] == '\0' ||
           (source_names(engine, run, step, id, output) == OK && strcmp(id, step_id) == 0);
}

/* -32011 for what was decided already: by whom, when and how. */
static void refuse_decided(struct engine *engine, struct rpc_call *call, struct run *run,
                           const struct step *step)
{
    struct str data = STR_NONE, decision = STR_NONE, actor = STR_NONE, by = STR_NONE;
    struct rpc_error error;

    if (source_data(engine, step->ended, &data) == OK) {
        (void)json_member(data, "decision", &decision);
        (void)json_member(data, "actor", &actor);
        (void)json_member(data, "by", &by);
    }
    rpc_error_set(&error, RPC_WRONG_STATE, "run \"%s\": this was decided already", run->id);
    struct out out = OUT_ON(error.data);
    struct json_writer w = json_writer(&out);
    json_object(&w);
    json_put_text(&w, "status", run_status_name(run->status));
    json_put_raw(&w, "decision", decision);
    json_put_raw(&w, "actor", actor);
    json_put_raw(&w, "by", by);
    json_put_time(&w, "time", step->at_ms);
    json_object_end(&w);
    if (out.overflow) /* an actor full of escapes: the status alone */
        out_reset(&out);
    out_cstr(&out);
    engine_refuse(engine, call, &error);
}

/* Each of these is a command's outcome, and remembered like one. */
static void refuse(struct engine *engine, struct rpc_call *call, struct rpc_error *error,
                   const char *name, const char *value, const char *more_name,
                   const char *more_value)
{
    struct out out = OUT_ON(error->data);
    struct json_writer w = json_writer(&out);

    json_object(&w);
    json_put_text(&w, name, value);
    if (more_name != NULL)
        json_put_text(&w, more_name, more_value);
    json_object_end(&w);
    out_cstr(&out);
    engine_refuse(engine, call, error);
}

bool waiting_find(struct engine *engine, struct rpc_call *call, struct run *run,
                  enum waiting_kind kind, const char *step_id, unsigned *found)
{
    const struct step *steps = table_steps(&engine->table, run);
    const char *what = kind == WAITING_GATE ? "gate" : "input step";
    const struct step *decided = NULL;
    unsigned open = 0, named = 0;
    struct rpc_error error;
    struct str data;

    for (unsigned i = 0; i < run->step_count; i++) {
        if (!is_named(engine, run, i, step_id))
            continue;
        named++;
        if (is_open(engine, run, i, kind, &data)) {
            *found = i;
            open++;
        } else if ((decided == NULL || steps[i].at_ms > decided->at_ms) &&
                   was_decided(engine, run, i, kind)) {
            decided = &steps[i];
        }
    }
    if (open == 1)
        return true;
    if (open > 1) {
        rpc_error_set(&error, RPC_INVALID_PARAMS,
                      "invalid params: step_id is wanted: more than one %s is open", what);
        refuse(engine, call, &error, "path", "step_id", "reason",
               "is wanted: more than one step waits for this");
    } else if (named == 0) {
        rpc_error_set(&error, RPC_NOT_FOUND, "run \"%s\" has no step \"%s\"", run->id, step_id);
        refuse(engine, call, &error, "what", "step", "id", step_id);
    } else if (decided != NULL) {
        refuse_decided(engine, call, run, decided);
    } else {
        rpc_error_set(&error, RPC_WRONG_STATE, "run \"%s\" is %s: no %s of it is open", run->id,
                      run_status_name(run->status), what);
        refuse(engine, call, &error, "status", run_status_name(run->status), NULL, NULL);
    }
    return false;
}

/* --- how it is shown ------------------------------------------------------------------------------------------------------------ */

void waiting_write(struct engine *engine, struct json_writer *w, struct run *run)
{
    const struct step *steps = table_steps(&engine->table, run);
    char id[LIMIT_NAME + 1], output[LIMIT_NAME + 1];
    unsigned step = 0;
    struct str data, raw;

    while (step < run->step_count && steps[step].state != STEP_WAITING)
        step++;
    if (step == run->step_count || source_names(engine, run, step, id, output) != OK ||
        source_data(engine, steps[step].ended, &data) != OK) {
        json_put_null(w, "waiting_for");
        json_put_null(w, "waiting");
        return;
    }
    json_put_raw(w, "waiting_for", json_member(data, "for", &raw) ? raw : STR_NONE);
    json_key(w, "waiting");
    json_object(w);
    json_put_text(w, "step_id", id);
    json_put_raw(w, "message", json_member(data, "message", &raw) ? raw : STR_NONE);
    json_put_raw(w, "fields", json_member(data, "fields", &raw) ? raw : STR_NONE);
    json_put_raw(w, "deadline", json_member(data, "deadline", &raw) ? raw : STR_NONE);
    json_object_end(w);
}

bool waiting_fields(struct engine *engine, struct run *run, unsigned step, struct str *fields)
{
    struct str data;
    return is_open(engine, run, step, WAITING_INPUT, &data) && json_member(data, "fields", fields);
}
