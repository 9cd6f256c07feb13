/* Secrets are read where they are needed, from the daemon's environment or a file, and kept nowhere but in the mask that hides them. */
#include "run/engine.h"

#include "json/read.h"
#include "port.h"

#include <string.h>

static enum err refuse(enum err err, char *reason, const char *what, const char *name,
                       const char *fact)
{
    struct out out = out_on(reason, LIMIT_TEXT);
    out_format(&out, "secret from %s %s: %s", what, name, fact);
    out_cstr(&out);
    return err;
}

static enum err read_value(struct engine *engine, struct str declaration, char *text, size_t size,
                           struct str *value, char *reason)
{
    char name[LIMIT_PATH], *path = engine->scratch.path;
    const char *what = "file";
    size_t got = 0;

    source_text(declaration, "env", name, sizeof name);
    if (name[0] != '\0') {
        const char *set = port_environment(name);
        what = "environment variable";
        if (set == NULL)
            return refuse(ERR_NOT_FOUND, reason, what, name, "is not set");
        got = strlen(set);
        if (!str_copy(str_of(set), text, size))
            return refuse(ERR_NOT_FOUND, reason, what, name, "is too long");
    } else {
        source_text(declaration, "file", name, sizeof name);
        struct out out = out_on(path, sizeof engine->scratch.path);
        out_format(&out, "%s%s%s", name[0] == '/' ? "" : engine->project->root,
                   name[0] == '/' ? "" : "/", name);
        enum err err = port_read_regular_file(out_cstr(&out), text, size, &got);
        if (err != OK)
            return refuse(ERR_NOT_FOUND, reason, what, name,
                          err == ERR_TOO_LARGE ? "is too large" : port_last_error());
        if (got > 0 && text[got - 1] == '\n')
            got--;
    }
    *value = str_range(text, got);
    if (got >= MASK_SHORTEST)
        return OK;
    return refuse(ERR_INVALID, reason, what, name,
                  "is shorter than 4 bytes, too short to be hidden in logs");
}

/* One round over what is declared.  ERR_FULL: the mask has no room. */
static enum err learn_all(struct engine *engine, struct str declared, char reason[LIMIT_TEXT])
{
    struct json_walk walk = json_walk(declared);
    char *text = engine->scratch.learnt, *words = engine->scratch.learnt_words;
    struct str name, declaration, value;
    enum err result = OK;

    while (result != ERR_FULL && json_walk_next(&walk, &name, &declaration)) {
        /* What cannot be read now may be there when a process needs it; what cannot be hidden is refused at once. */
        enum err err = read_value(engine, declaration, text, LIMIT_TOKEN, &value, words);
        if (err == OK)
            err = mask_learn(&engine->mask, value);
        if (err == ERR_INVALID)
            (void)str_copy(str_of(words), reason, LIMIT_TEXT);
        if (err == ERR_INVALID || err == ERR_FULL)
            result = err;
    }
    port_wipe(text, LIMIT_TOKEN);
    return result;
}

bool engine_learn_secrets(struct engine *engine, struct str config, char reason[LIMIT_TEXT])
{
    struct str declared;

    if (!json_member(config, "secrets", &declared))
        return true;
    enum err err = learn_all(engine, declared, reason);
    if (err == ERR_FULL) {
        /* Values that were replaced since the start fill the mask: they make room for those that hold. */
        memset(&engine->mask, 0, sizeof engine->mask);
        err = learn_all(engine, declared, reason);
    }
    if (err == ERR_FULL)
        (void)str_copy(STR("secrets: more than can be hidden (8 KiB in all)"), reason, LIMIT_TEXT);
    return err == OK;
}

enum err engine_secret(struct engine *engine, struct str declaration, char *text, size_t size,
                       struct str *value, char *reason)
{
    struct str config = str_range(engine->project->config, engine->project->config_size);

    enum err err = read_value(engine, declaration, text, size, value, reason);
    if (err != OK)
        return err;
    err = mask_learn(&engine->mask, *value);
    if (err == ERR_FULL && !engine_learn_secrets(engine, config, reason))
        return ERR_INVALID;
    return err == ERR_FULL ? mask_learn(&engine->mask, *value) : err;
}
