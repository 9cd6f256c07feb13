/* Starting a step: judges its `if`, takes a process for it, says step.started.  Starts nothing itself: that is for after the commit. */
#include "run/waiting.h"

#include "json/read.h"
#include "project/condition.h"
#include "project/template.h"

#include <string.h>

static enum err resolve_operand(const struct scope *scope, struct condition_operand *operand,
                                char *copy, size_t size)
{
    struct resolved value;

    if (operand->kind != CONDITION_TEMPLATE)
        return OK;
    enum err err = resolve_path(scope, operand->text, &value);
    if (err != OK)
        return err;
    /* Both sides may come from different events: each is copied before the next is read. */
    struct out out = out_on(copy, size);
    out_str(&out, value.raw);
    if (out.overflow) {
        (void)str_copy(STR("a value in `if` is too large to be judged"), scope->reason, LIMIT_TEXT);
        return ERR_TOO_LARGE;
    }
    *operand = (struct condition_operand){.kind = CONDITION_JSON, .text = out_view(&out)};
    return OK;
}

static enum err judge_if(struct engine *engine, struct run *run, unsigned step, struct str raw_if,
                         bool *holds, char *reason)
{
    struct scope scope = {.engine = engine, .run = run, .step = step, .reason = reason};
    struct out text = OUT_ON(engine->scratch.condition);
    struct condition condition;
    const char *why = "";
    size_t half = sizeof engine->scratch.line / 2;

    if (json_type(raw_if) == JSON_BOOLEAN) {
        *holds = json_is_true(raw_if);
        return OK;
    }
    if (!json_string_decode(raw_if, &text) ||
        condition_parse(out_view(&text), &condition, &why) != OK) {
        (void)str_copy(str_of(why), reason, LIMIT_TEXT);
        return ERR_SYNTAX;
    }
    enum err err = resolve_operand(&scope, &condition.left, engine->scratch.line, half);
    if (err == OK && condition.test != CONDITION_TRUTH)
        err = resolve_operand(&scope, &condition.right, engine->scratch.line + half, half);
    if (err != OK)
        return err;
    err = condition_judge(&condition, holds);
    if (err != OK)
        (void)str_copy(STR("`if` compares a container"), reason, LIMIT_TEXT);
    return err;
}

/* Judges `if`, takes a process, says step.started. */
enum step_start step_start(struct engine *engine, struct run *run, unsigned step)
{
    struct step *record = &table_steps(&engine->table, run)[step];
    char name[LIMIT_NAME + 1], reason[LIMIT_TEXT] = "";
    struct str raw, value;
    int64_t timeout_ms = 0;
    bool holds = true;

    if (source_step(engine, run, step, &raw) != OK) {
        attempt_fail_early(engine, run, step, FAILURE_TEMPLATE,
                           "the run's plan.json cannot be read");
        return STEP_ENDS;
    }
    if (record->state == STEP_PENDING && json_member(raw, "if", &value) &&
        json_type(value) != JSON_NULL) {
        enum err err = judge_if(engine, run, step, value, &holds, reason);
        if (err != OK) {
            attempt_fail_early(engine, run, step, FAILURE_TEMPLATE,
                               reason[0] != '\0' ? reason : err_text(err));
            return STEP_ENDS;
        }
        if (!holds) {
            event_reason(engine, run, EVENT_STEP_SKIPPED, (int)step, "if");
            return STEP_ENDS;
        }
    }
    if (source_step(engine, run, step, &raw) != OK)
        return STEP_WAITS;
    if (json_member(raw, "kind", &value) && !json_string_is(value, "uses"))
        return waiting_open(engine, run, step, raw);
    if (engine->executing >= LIMIT_STEPS_EXECUTING)
        return STEP_WAITS;
    source_text(raw, "uses", name, sizeof name);
    if (json_member(raw, "timeout_ms", &value))
        (void)json_integer(value, &timeout_ms);
    struct process *process =
        process_take(engine, run, step, name, record->integration, timeout_ms);
    if (process == NULL)
        return STEP_WAITS;
    struct json_writer *w = event_begin(engine, run, EVENT_STEP_STARTED, (int)step);
    if (w == NULL)
        return STEP_WAITS;
    json_put_text(w, "uses", name);
    (void)event_end(engine, run, EVENT_STEP_STARTED, (int)step);
    run->executing++;
    engine->executing++;
    engine->metrics.steps_started++;
    return STEP_STARTS;
}
