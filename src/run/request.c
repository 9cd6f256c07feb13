/* Requests to integrations, generated rather than built: the same walk over plan, journal and artifacts gives the same bytes each time, so a pipe
 * that is full is resumed by walking again and dropping what it has had.  No process needs an output buffer, however long its
 * request is.  What could change between two walks (the time left) is fixed before the first. */
#include "run/engine.h"

#include "base/assert.h"
#include "json/read.h"
#include "json/utf8.h"
#include "port.h"
#include "project/template.h"

#include <string.h>

/* --- the sink ------------------------------------------------------------------------------------------------------ */

void sink_flush(struct request_sink *sink)
{
    size_t done = 0, put;

    if (sink->fd < 0)
        return;
    while (sink->err == OK && done < sink->chunk.n) {
        sink->err =
            port_write(sink->fd, str_range(sink->chunk.p + done, sink->chunk.n - done), &put);
        if (sink->err == OK)
            done += put;
    }
    sink->sent += done;
    out_reset(&sink->chunk);
}

void sink_add(struct request_sink *sink, struct str bytes)
{
    uint64_t at = sink->at;

    sink->at += bytes.n;
    if (sink->memory != NULL) {
        out_str(sink->memory, bytes);
        return;
    }
    if (sink->fd < 0 || sink->err != OK || sink->at <= sink->skip)
        return;
    if (at < sink->skip)
        bytes = str_from(bytes, (size_t)(sink->skip - at));
    while (bytes.n > 0 && sink->err == OK) {
        struct str piece = str_head(bytes, out_room(&sink->chunk));
        out_str(&sink->chunk, piece);
        bytes = str_from(bytes, piece.n);
        if (out_room(&sink->chunk) == 0)
            sink_flush(sink);
    }
}

static void sink_text(struct request_sink *sink, const char *text)
{
    sink_add(sink, str_of(text));
}

/* In pieces of whole characters: half of one would be escaped as what is no UTF-8. */
static void sink_escaped(struct request_sink *sink, struct str text)
{
    char bytes[512];
    while (text.n > 0) {
        struct out out = OUT_ON(bytes);
        struct str piece = str_head(text, sizeof bytes / 6);
        if (piece.n < text.n && utf8_cut(piece) > 0)
            piece.n = utf8_cut(piece);
        json_escape(&out, piece);
        sink_add(sink, out_view(&out));
        text = str_from(text, piece.n);
    }
}

/* Checked JSON, which goes into a line: line feeds between its tokens, as artifacts may have them, become spaces. */
static void sink_json(struct request_sink *sink, struct str raw)
{
    while (raw.n > 0) {
        struct str piece = str_head(raw, str_find(raw, '\n'));
        sink_add(sink, piece);
        if (piece.n < raw.n)
            sink_add(sink, STR(" "));
        raw = str_from(raw, piece.n + 1);
    }
}

static bool sink_is_done(const struct request_sink *sink)
{
    return sink->err != OK;
}

/* --- artifacts ------------------------------------------------------------------------------------------------------ */

static enum err unreadable(const struct scope *scope, const struct artifact *artifact,
                           const char *why)
{
    struct out reason = out_on(scope->reason, LIMIT_TEXT);
    out_format(&reason, "artifact %s cannot be read: %s", artifact->path, why);
    out_cstr(&reason);
    return ERR_NOT_FOUND;
}

static enum err add_file(const struct scope *scope, struct request_sink *sink,
                         const struct artifact *artifact)
{
    bool is_text = strcmp(artifact->media_type, "application/json") != 0;
    struct engine_scratch *scratch = &scope->engine->scratch;
    char *bytes = scratch->file;
    struct out out = OUT_ON(scratch->path);
    int64_t offset = 0;
    size_t got;
    int fd;

    out_format(&out, "%s/%s", scope->engine->project->root, artifact->path);
    enum err err = port_open(out_cstr(&out), PORT_READ, &fd);
    if (err != OK)
        return unreadable(scope, artifact, port_last_error());
    uint64_t before = sink->at;
    if (is_text)
        sink_text(sink, "\"");
    else if (sink->fd < 0 || sink->at + (uint64_t)artifact->bytes <= sink->skip)
        offset = artifact->bytes; /* nothing of it is wanted in this walk: its length is known */
    else if (sink->at < sink->skip)
        offset = (int64_t)(sink->skip - sink->at);
    sink->at += (uint64_t)offset;
    while (offset < artifact->bytes && !sink_is_done(sink)) {
        err = port_read_at(fd, bytes, sizeof scratch->file, offset, &got);
        if (err != OK || got == 0) {
            err = unreadable(scope, artifact, err != OK ? port_last_error() : "it is too short");
            break;
        }
        struct str piece = str_range(bytes, got);
        /* A character that the read cut in two waits for the next one. */
        if (is_text && offset + (int64_t)got < artifact->bytes && utf8_cut(piece) > 0)
            piece.n = utf8_cut(piece);
        if (is_text)
            sink_escaped(sink, piece);
        else
            sink_json(sink, piece);
        offset += (int64_t)piece.n;
    }
    port_close(fd);
    if (is_text)
        sink_text(sink, "\"");
    sink->hydrated += sink->at - before;
    return err;
}

static enum err add_value(const struct scope *scope, struct request_sink *sink,
                          const struct resolved *value, bool hydrate)
{
    struct artifact artifact;

    if (value->artifact && hydrate && artifact_read(value->raw, &artifact) &&
        (strcmp(artifact.media_type, "application/json") == 0 ||
         str_starts_with(str_of(artifact.media_type), STR("text/"))))
        return add_file(scope, sink, &artifact);
    sink_json(sink, value->raw);
    return OK;
}

/* --- values with templates ------------------------------------------------------------------------------------------- */

/* A value inside longer text: strings stand as they are, numbers as written, null as empty, containers as compact JSON. */
static void add_inside(struct request_sink *sink, struct str raw)
{
    switch (json_type(raw)) {
    case JSON_STRING:
        sink_add(sink, template_inside(raw)); /* escaped already, and it goes into a string again */
        break;
    case JSON_NULL:
    case JSON_NONE:
        break;
    case JSON_ARRAY:
    case JSON_OBJECT: {
        /* Compact: white space between tokens goes.  Escaped: quotes and backslashes, nothing else needs it in checked JSON. */
        bool in_string = false;
        for (size_t i = 0; i < raw.n; i++) {
            char c = raw.p[i];
            if (!in_string && (c == ' ' || c == '\t' || c == '\r' || c == '\n'))
                continue;
            if (c == '"')
                in_string = !in_string;
            if (c == '"' || c == '\\')
                sink_add(sink, STR("\\"));
            sink_add(sink, str_range(raw.p + i, 1));
            if (c == '\\' && i + 1 < raw.n) {
                i++;
                if (raw.p[i] == '"' || raw.p[i] == '\\')
                    sink_add(sink, STR("\\"));
                sink_add(sink, str_range(raw.p + i, 1));
            }
        }
        break;
    }
    default:
        sink_add(sink, raw);
    }
}

enum err request_string(const struct scope *scope, struct request_sink *sink, struct str raw)
{
    struct str inside = template_inside(raw);
    struct template_part part;
    struct resolved value;
    enum err err = OK;

    sink_text(sink, "\"");
    while (err == OK && (err = template_next(&inside, &part)) == OK) {
        if (!part.is_template) {
            sink_add(sink, part.text);
            continue;
        }
        err = resolve_path(scope, part.text, &value);
        if (err == OK)
            add_inside(sink, value.raw);
    }
    sink_text(sink, "\"");
    return err == ERR_END ? OK : err;
}

static enum err add_string(const struct scope *scope, struct request_sink *sink, struct str raw,
                           bool hydrate)
{
    struct resolved value;
    struct str path;

    if (!template_is_whole(template_inside(raw), &path))
        return request_string(scope, sink, raw);
    enum err err = resolve_path(scope, path, &value);
    return err == OK ? add_value(scope, sink, &value, hydrate) : err;
}

/* Behind a string's last quote: whether it is a member's name. */
static bool is_name(struct str raw, size_t at)
{
    while (at < raw.n &&
           (raw.p[at] == ' ' || raw.p[at] == '\t' || raw.p[at] == '\r' || raw.p[at] == '\n'))
        at++;
    return at < raw.n && raw.p[at] == ':';
}

static size_t string_length(struct str text)
{
    size_t i = 1;
    while (i < text.n && text.p[i] != '"')
        i += text.p[i] == '\\' ? 2 : 1;
    return i + 1 < text.n ? i + 1 : text.n;
}

/* One pass over the text, no nesting to follow: only strings that are values matter. */
enum err request_value(const struct scope *scope, struct request_sink *sink, struct str raw,
                       bool hydrate)
{
    size_t plain = 0, at = 0;

    if (!template_in(raw)) {
        sink_add(sink, raw);
        return OK;
    }
    while (at < raw.n) {
        if (raw.p[at] != '"') {
            at++;
            continue;
        }
        struct str string = str_head(str_from(raw, at), string_length(str_from(raw, at)));
        if (is_name(raw, at + string.n) || !template_in(string)) {
            at += string.n;
            continue;
        }
        sink_add(sink, str_range(raw.p + plain, at - plain));
        enum err err = add_string(scope, sink, string, hydrate);
        if (err != OK)
            return err;
        at += string.n;
        plain = at;
    }
    sink_add(sink, str_from(raw, plain));
    return OK;
}

enum err request_text(const struct scope *scope, struct str raw, struct out *to)
{
    struct out text = OUT_ON(scope->engine->scratch.chunk);
    struct request_sink sink = {.fd = -1, .memory = &text};

    enum err err = request_value(scope, &sink, raw, false);
    if (err != OK)
        return err;
    if (text.overflow)
        return ERR_TOO_LARGE;
    struct str value = out_view(&text);
    if (json_type(value) == JSON_STRING)
        return json_string_decode(value, to) ? OK : ERR_TOO_LARGE;
    if (json_type(value) != JSON_NULL)
        out_str(to, value);
    return to->overflow ? ERR_TOO_LARGE : OK;
}

/* --- the messages ------------------------------------------------------------------------------------------------------ */

struct small {
    char bytes[1024];
    struct out out;
    struct json_writer w;
};

static void small_start(struct small *small)
{
    small->out = OUT_ON(small->bytes);
    small->w = json_writer(&small->out);
}

static void sink_string(struct request_sink *sink, const char *text)
{
    sink_text(sink, "\"");
    sink_escaped(sink, str_of(text));
    sink_text(sink, "\"");
}

static void sink_head(struct request_sink *sink, unsigned id, const char *method)
{
    char digits[16];
    struct out out = OUT_ON(digits);
    out_u64(&out, id);
    sink_text(sink, "{\"jsonrpc\":\"2.0\",\"id\":\"");
    sink_add(sink, out_view(&out));
    sink_text(sink, "\",\"method\":\"");
    sink_text(sink, method);
    sink_text(sink, "\",\"params\":");
}

static enum err integration_of(const struct scope *scope, const char *name, struct str *raw)
{
    enum err err = source_integrations(scope->engine, scope->run, raw);
    if (err == OK && !json_member(*raw, name, raw))
        err = ERR_DAMAGED;
    return err;
}

/* The members of config that `with` does not replace, then those of `with`. */
static enum err add_with_config(const struct scope *scope, struct request_sink *sink,
                                struct str config, struct str with)
{
    struct scope config_scope = *scope;
    struct str name, value, other;
    bool first = true;
    enum err err = OK;

    config_scope.secrets = true;
    sink_text(sink, "{");
    for (int pass = 0; pass < 2 && err == OK; pass++) {
        struct json_walk walk = json_walk(pass == 0 ? config : with);
        while (err == OK && json_walk_next(&walk, &name, &value)) {
            char key[256];
            if (pass == 0 && json_string_copy(name, key, sizeof key) &&
                json_member(with, key, &other))
                continue;
            if (!first)
                sink_text(sink, ",");
            first = false;
            sink_add(sink, name);
            sink_text(sink, ":");
            err = request_value(pass == 0 ? &config_scope : scope, sink, value, false);
        }
    }
    sink_text(sink, "}");
    return err;
}

/* Whether the step's `inputs` name this whole value: then the views show it hydrated as well. */
static bool inputs_name(struct str inputs, const char *root, const char *name)
{
    char path[LIMIT_NAME + 32];
    struct out out = OUT_ON(path);
    struct json_walk walk = json_walk(inputs);
    struct str key, value, named;

    out_text(&out, root);
    out_byte(&out, '.');
    out_text(&out, name);
    while (json_walk_next(&walk, &key, &value))
        if (template_is_whole(template_inside(value), &named) &&
            str_equal(str_trim(named), out_view(&out)))
            return true;
    return false;
}

/* One view: "outputs" by step id, or "named_outputs" by output name. */
static enum err add_view(const struct scope *scope, struct request_sink *sink, struct str inputs,
                         const char *root, bool by_id)
{
    const struct step *steps = table_steps(&scope->engine->table, scope->run);
    char id[LIMIT_NAME + 1], output[LIMIT_NAME + 1];
    struct resolved value;
    bool first = true;
    enum err err = OK;

    sink_text(sink, "{");
    for (unsigned i = 0; err == OK && i < scope->run->step_count; i++) {
        if (i == scope->step ||
            (steps[i].state != STEP_COMPLETED && steps[i].state != STEP_SKIPPED))
            continue;
        err = source_names(scope->engine, scope->run, i, id, output);
        const char *name = by_id ? id : output;
        if (err != OK || name[0] == '\0')
            continue;
        err = resolve_step(scope, i, &value);
        if (err != OK)
            break;
        if (!first)
            sink_text(sink, ",");
        first = false;
        sink_string(sink, name);
        sink_text(sink, ":");
        err = add_value(scope, sink, &value, value.artifact && inputs_name(inputs, root, name));
    }
    sink_text(sink, "}");
    return err;
}

static enum err generate_setup(const struct scope *scope, struct request_sink *sink,
                               const struct process *process)
{
    struct scope with_secrets = *scope;
    struct str raw, config = STR("{}");

    with_secrets.secrets = true;
    sink_head(sink, process->last_id, "setup");
    sink_text(sink, "{\"run_id\":");
    sink_string(sink, scope->run->id);
    sink_text(sink, ",\"integration\":");
    sink_string(sink, process->name);
    sink_text(sink, ",\"config\":");
    enum err err = integration_of(scope, process->name, &raw);
    if (err == OK && json_member(raw, "config", &config) && json_type(config) != JSON_OBJECT)
        config = STR("{}");
    if (err == OK)
        err = request_value(&with_secrets, sink, config, false);
    sink_text(sink, "}}\n");
    return err;
}

static enum err generate_execute(const struct scope *scope, struct request_sink *sink,
                                 const struct process *process)
{
    const struct step *step = &table_steps(&scope->engine->table, scope->run)[process->step];
    struct str raw, integration, config = STR("{}"), with = STR("{}"), inputs = STR("{}"), output,
                                 type;
    char id[LIMIT_NAME + 1], directory[LIMIT_PATH];
    struct small small;

    enum err err = source_step(scope->engine, scope->run, process->step, &raw);
    if (err == OK)
        err = integration_of(scope, process->name, &integration);
    if (err != OK)
        return err;
    source_text(raw, "id", id, sizeof id);
    if (!json_member(raw, "output", &output))
        output = STR("null");
    if (!json_member(raw, "output_type", &type))
        type = STR("\"json\"");
    if (json_member(integration, "config", &config) && json_type(config) != JSON_OBJECT)
        config = STR("{}");
    if (json_member(raw, "with", &with) && json_type(with) != JSON_OBJECT)
        with = STR("{}");
    if (json_member(raw, "inputs", &inputs) && json_type(inputs) != JSON_OBJECT)
        inputs = STR("{}");

    sink_head(sink, process->last_id, "execute");
    sink_text(sink, "{\"step\":{\"id\":");
    sink_string(sink, id);
    sink_text(sink, ",\"uses\":");
    sink_string(sink, process->name);
    sink_text(sink, ",\"with_config\":");
    err = add_with_config(scope, sink, config, with);
    if (err != OK)
        return err;
    sink_text(sink, ",\"output\":");
    sink_add(sink, output);
    sink_text(sink, ",\"output_type\":");
    sink_add(sink, type);
    sink_text(sink, "},\"context\":");

    small_start(&small);
    json_object(&small.w);
    json_put_text(&small.w, "run_id", scope->run->id);
    json_put_text(&small.w, "workflow_id", scope->run->workflow_id);
    json_put_u64(&small.w, "attempt", step->attempt);
    json_key(&small.w, "idempotency_key");
    json_string_begin(&small.w);
    json_string_add(&small.w, str_of(scope->run->id));
    json_string_add(&small.w, STR("/"));
    json_string_add(&small.w, str_of(id));
    json_string_end(&small.w);
    json_key(&small.w, "deadline_ms");
    if (process->request_deadline_ms < 0)
        json_null(&small.w);
    else
        json_i64(&small.w, process->request_deadline_ms);
    ASSERT(!small.out.overflow);
    sink_add(sink, out_view(&small.out));
    source_run_path(scope->engine, scope->run->id, "files/", directory);
    sink_text(sink, ",\"artifacts_dir\":\"");
    sink_escaped(sink, str_of(directory));
    sink_escaped(sink, str_of(id));
    sink_text(sink, "\",\"inputs\":");
    err = request_value(scope, sink, inputs, true);
    if (err != OK)
        return err;

    sink_text(sink, ",\"outputs\":");
    err = add_view(scope, sink, inputs, "outputs", true);
    sink_text(sink, ",\"named_outputs\":");
    if (err == OK)
        err = add_view(scope, sink, inputs, "named_outputs", false);
    sink_text(sink, "}}}\n");
    return err;
}

enum err request_generate(const struct scope *scope, struct request_sink *sink,
                          const struct process *process)
{
    enum err err = OK;

    sink->chunk = out_on(sink->buffer, sizeof sink->buffer);
    if (process->request == PROCESS_SETUP) {
        err = generate_setup(scope, sink, process);
    } else if (process->request == PROCESS_TEARDOWN) {
        sink_head(sink, process->last_id, "teardown");
        sink_text(sink, "{}}\n");
    } else {
        err = generate_execute(scope, sink, process);
    }
    sink_flush(sink);
    return err;
}
