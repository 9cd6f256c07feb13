/* Reading back what the disk holds for a run: lines of its plan.json, events of the journal.  Everything comes out in the shared
 * scratch buffers; what was read last is remembered, for the next question is often about the same. */
#include "run/engine.h"

#include "json/read.h"
#include "port.h"

#include <string.h>

/* Lines of plan.json in front of the steps. */
enum { LINE_OUTPUTS = 2, LINE_INTEGRATIONS = 3, LINE_FIRST_STEP = 5 };

void source_run_path(const struct engine *engine, const char *run_id, const char *name,
                     char path[LIMIT_PATH])
{
    struct out out = out_on(path, LIMIT_PATH);
    out_text(&out, engine->project->root);
    out_text(&out, "/.charter/runs/");
    out_text(&out, run_id);
    if (name[0] != '\0')
        out_byte(&out, '/');
    out_text(&out, name);
    out_cstr(&out);
}

/* The plan must be readable also while clients and processes have all descriptors: what would else fail is a step, for good.  So one
 * descriptor is kept for it, and a disk is asked twice. */
static enum err open_plan(struct engine *engine, const struct run *run, int *fd)
{
    char path[LIMIT_PATH];

    source_run_path(engine, run->id, "plan.json", path);
    enum err err = port_open(path, PORT_READ, fd);
    if (err == ERR_FULL && engine->spare_fd > 0) {
        port_close(engine->spare_fd);
        engine->spare_fd = 0;
    } else if (err == OK || err == ERR_NOT_FOUND) {
        return err;
    }
    return port_open(path, PORT_READ, fd);
}

/* Asked twice, since what cannot be read fails a step, or a run, for good. */
static enum err read_twice(int fd, char *to, size_t n, uint32_t offset, size_t *got)
{
    enum err err = port_read_at(fd, to, n, offset, got);
    return err == OK ? OK : port_read_at(fd, to, n, offset, got);
}

static void close_plan(struct engine *engine, int fd)
{
    port_close(fd);
    source_keep_spare(engine);
}

void source_keep_spare(struct engine *engine)
{
    if (engine->spare_fd <= 0 && port_open("/dev/null", PORT_READ, &engine->spare_fd) != OK)
        engine->spare_fd = 0;
}

/* Notes where a line begins and ends, when it is one that the table knows. */
static void note_line(struct engine *engine, struct run *run, unsigned line, uint32_t start,
                      uint32_t end)
{
    uint32_t length = end - start;
    if (line == LINE_OUTPUTS) {
        run->outputs_offset = start;
        run->outputs_length = length;
    } else if (line == LINE_INTEGRATIONS) {
        run->integrations_offset = start;
        run->integrations_length = length;
    } else if (line >= LINE_FIRST_STEP && line < (unsigned)LINE_FIRST_STEP + run->step_count) {
        struct step *step = &table_steps(&engine->table, run)[line - LINE_FIRST_STEP];
        step->plan_offset = start;
        step->plan_length = length;
    }
}

static enum err index_lines(struct engine *engine, struct run *run, int fd)
{
    char *chunk = engine->scratch.chunk;
    uint32_t offset = 0, start = 0;
    unsigned line = 0, last = (unsigned)LINE_FIRST_STEP + run->step_count;
    size_t got;

    do {
        enum err err = read_twice(fd, chunk, sizeof engine->scratch.chunk, offset, &got);
        if (err != OK)
            return err;
        for (size_t i = 0; i < got && line < last; i++)
            if (chunk[i] == '\n') {
                uint32_t end = offset + (uint32_t)i;
                note_line(engine, run, line++, start, end);
                start = end + 1;
            }
        offset += (uint32_t)got;
    } while (got == sizeof engine->scratch.chunk && line < last);
    return line < last ? ERR_DAMAGED : OK;
}

enum err source_count_steps(const struct engine *engine, const char *run_id, unsigned *steps)
{
    char path[LIMIT_PATH], head[1024];
    struct str line, rest, raw;
    int64_t count;
    size_t got;
    int fd;

    source_run_path(engine, run_id, "plan.json", path);
    enum err err = port_open(path, PORT_READ, &fd);
    if (err != OK)
        return err;
    err = port_read_at(fd, head, sizeof head, 0, &got);
    port_close(fd);
    if (err != OK)
        return err;
    (void)str_cut(str_range(head, got), '\n', &line, &rest);
    (void)str_cut(rest, '\n', &line, &rest);
    if (!str_cut(line, ':', &rest, &line) ||
        !json_member(str_head(line, line.n - 1), "steps", &raw) || !json_integer(raw, &count) ||
        count < 0 || count > LIMIT_STEPS)
        return ERR_DAMAGED;
    *steps = (unsigned)count;
    return OK;
}

/* The number of a step's integration among the plan's: how the table answers "does a later step use this process?". */
static unsigned integration_number(struct str integrations, struct str uses)
{
    struct json_walk walk = json_walk(integrations);
    struct str name, value;
    for (unsigned i = 0; json_walk_next(&walk, &name, &value); i++)
        if (json_string_equal(name, uses))
            return i;
    return UINT8_MAX;
}

static void note_needs(struct engine *engine, struct run *run, unsigned index, struct str needs)
{
    struct step_needs *set = &engine->table.needs[run->step_first + index];
    struct json_walk walk = json_walk(needs);
    struct str ignored, value;
    int64_t needed;

    if (!run->graph) /* the places may have served another plan */
        memset(&engine->table.needs[run->step_first], 0, run->step_count * sizeof *set);
    run->graph = true;
    while (json_walk_next(&walk, &ignored, &value))
        if (json_integer(value, &needed) && needed >= 0 && needed < run->step_count)
            set->bits[needed / 32] |= UINT32_C(1) << (needed % 32);
}

enum err source_index_plan(struct engine *engine, struct run *run)
{
    struct str integrations, raw, value;
    int fd;

    /* The run has no created_seq yet: what was read for another one in this slot would pass for its own. */
    engine->scratch.step_run = NULL;
    engine->scratch.plan.run = NULL;
    engine->scratch.names.run = NULL;
    enum err err = open_plan(engine, run, &fd);
    if (err != OK)
        return err;
    err = index_lines(engine, run, fd);
    close_plan(engine, fd);
    if (err == OK)
        err = source_integrations(engine, run, &integrations);
    for (unsigned i = 0; err == OK && i < run->step_count; i++) {
        struct step *step = &table_steps(&engine->table, run)[i];
        char when[16];
        err = source_step(engine, run, i, &raw);
        if (err != OK)
            break;
        step->integration = json_member(raw, "uses", &value)
                                ? (uint8_t)integration_number(integrations, value)
                                : UINT8_MAX;
        if (json_member(raw, "needs", &value) && json_type(value) == JSON_ARRAY)
            note_needs(engine, run, i, value);
        step->may_fail = json_member(raw, "continue_on_error", &value) && json_is_true(value);
        source_text(raw, "when", when, sizeof when);
        step->when = strcmp(when, "failure") == 0  ? WHEN_FAILURE
                     : strcmp(when, "always") == 0 ? WHEN_ALWAYS
                                                   : WHEN_SUCCESS;
    }
    return err;
}

static enum err read_plan(struct engine *engine, const struct run *run, uint32_t offset,
                          uint32_t length, char *to, size_t size, struct str *line)
{
    size_t got;
    int fd;

    if (length == 0 || length > size)
        return ERR_DAMAGED;
    enum err err = open_plan(engine, run, &fd);
    if (err != OK)
        return err;
    err = read_twice(fd, to, length, offset, &got);
    close_plan(engine, fd);
    if (err != OK)
        return err;
    *line = str_range(to, got);
    if (line->n > 0 && line->p[line->n - 1] == ',')
        line->n--;
    return got == length ? OK : ERR_DAMAGED;
}

enum err source_step(struct engine *engine, const struct run *run, unsigned index, struct str *raw)
{
    struct engine_scratch *scratch = &engine->scratch;
    const struct step *step = &table_steps(&engine->table, run)[index];

    if (scratch->step_run == run && scratch->step_index == index &&
        scratch->step_seq == run->created_seq) {
        *raw = scratch->step_raw;
        return OK;
    }
    scratch->step_run = NULL;
    enum err err = read_plan(engine, run, step->plan_offset, step->plan_length, scratch->step,
                             sizeof scratch->step, raw);
    if (err == OK && json_type(*raw) != JSON_OBJECT)
        err = ERR_DAMAGED;
    if (err == OK) {
        scratch->step_run = run;
        scratch->step_seq = run->created_seq;
        scratch->step_index = index;
        scratch->step_raw = *raw;
    }
    return err;
}

/* The head of a step's line, at most as long as names make it.  Most lines are short: many are read at once. */
static enum err read_head(struct engine *engine, const struct run *run, const struct step *step,
                          struct str *head)
{
    struct source_window *window = &engine->scratch.plan;
    uint32_t length = step->plan_length < 512 ? step->plan_length : 512;
    size_t got;
    int fd;

    if (length == 0)
        return ERR_DAMAGED;
    if (window->run != run || window->seq != run->created_seq || step->plan_offset < window->from ||
        step->plan_offset + length > window->from + window->n) {
        window->run = NULL;
        enum err err = open_plan(engine, run, &fd);
        if (err != OK)
            return err;
        err = read_twice(fd, window->bytes, sizeof window->bytes, step->plan_offset, &got);
        close_plan(engine, fd);
        if (err != OK)
            return err;
        if (got < length)
            return ERR_DAMAGED;
        window->run = run;
        window->seq = run->created_seq;
        window->from = step->plan_offset;
        window->n = (uint32_t)got;
    }
    *head = str_range(window->bytes + (step->plan_offset - window->from), length);
    return OK;
}

/* Names are asked for often and of many steps, so they stand at the head of a step's line and are read alone. */
static enum err read_names(struct engine *engine, const struct run *run, unsigned index,
                           struct source_names *names)
{
    struct str head, name, value;

    *names = (struct source_names){.run = NULL};
    enum err err = read_head(engine, run, &table_steps(&engine->table, run)[index], &head);
    if (err != OK)
        return err;
    struct json_walk walk = json_walk(head);
    for (int i = 0; i < 2 && json_walk_next(&walk, &name, &value); i++) {
        if (json_string_is(name, "id"))
            (void)json_string_copy(value, names->id, sizeof names->id);
        else if (json_string_is(name, "output"))
            (void)json_string_copy(value, names->output, sizeof names->output);
    }
    if (names->id[0] == '\0')
        return ERR_DAMAGED;
    names->run = run;
    names->seq = run->created_seq;
    names->index = index;
    return OK;
}

enum err source_names(struct engine *engine, const struct run *run, unsigned index,
                      char id[LIMIT_NAME + 1], char output[LIMIT_NAME + 1])
{
    struct source_names *names = &engine->scratch.names;
    enum err err = OK;

    if (names->run != run || names->seq != run->created_seq || names->index != index)
        err = read_names(engine, run, index, names);
    memcpy(id, names->id, sizeof names->id);
    memcpy(output, names->output, sizeof names->output);
    return err;
}

/* A line of the form "key":value — the value. */
static enum err source_section(struct engine *engine, const struct run *run, uint32_t offset,
                               uint32_t length, struct str *raw)
{
    struct str key;
    enum err err = read_plan(engine, run, offset, length, engine->scratch.section,
                             sizeof engine->scratch.section, raw);
    if (err == OK && !str_cut(*raw, ':', &key, raw))
        err = ERR_DAMAGED;
    return err;
}

enum err source_integrations(struct engine *engine, const struct run *run, struct str *raw)
{
    return source_section(engine, run, run->integrations_offset, run->integrations_length, raw);
}

enum err source_outputs(struct engine *engine, const struct run *run, struct str *raw)
{
    return source_section(engine, run, run->outputs_offset, run->outputs_length, raw);
}

enum err source_data(struct engine *engine, struct journal_place place, struct str *data)
{
    struct engine_scratch *scratch = &engine->scratch;
    struct out to = OUT_ON(scratch->event);

    if (scratch->event_place.segment != place.segment ||
        scratch->event_place.offset != place.offset ||
        scratch->event_place.length != place.length) {
        scratch->event_place = (struct journal_place){0, 0, 0};
        enum err err = journal_read(engine->journal, place, &to);
        if (err != OK)
            return err;
        scratch->event_place = place;
        scratch->event_raw = out_view(&to);
    }
    return json_member(scratch->event_raw, "data", data) ? OK : ERR_DAMAGED;
}

void source_text(struct str raw_object, const char *name, char *to, size_t size)
{
    struct str value;
    to[0] = '\0';
    if (json_member(raw_object, name, &value))
        (void)json_string_copy(value, to, size);
}
