/* charter.yml.  Owns its form, and the JSON that carries it from the helper into the daemon.  Invariant: what
 * project_take() takes has passed config_load(). */
#include "base/built.h"
#include "project/integration.h"
#include "project/project.h"
#include "project/reference.h"
#include "project/workflow.h"

#include <string.h>

struct config_members {
    struct str project, gateway, secrets, integrations, description;
};

static const struct reader_field config_fields[] = {
    {"project", READER_STRING, false, offsetof(struct config_members, project)},
    {"gateway", READER_OBJECT, false, offsetof(struct config_members, gateway)},
    {"secrets", READER_OBJECT, false, offsetof(struct config_members, secrets)},
    {"integrations", READER_OBJECT, false, offsetof(struct config_members, integrations)},
    {"description", READER_STRING, false, offsetof(struct config_members, description)},
};

struct gateway_members {
    struct str url, token_file;
};

static const struct reader_field gateway_fields[] = {
    {"url", READER_STRING | READER_ARRAY, true, offsetof(struct gateway_members, url)},
    {"token_file", READER_STRING, false, offsetof(struct gateway_members, token_file)},
};

struct secret_members {
    struct str env, file;
};

static const struct reader_field secret_fields[] = {
    {"env", READER_STRING, false, offsetof(struct secret_members, env)},
    {"file", READER_STRING, false, offsetof(struct secret_members, file)},
};

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

/* --- checks -------------------------------------------------------------------------------------------------------- */

static bool check_url(const struct reader *r, struct str raw)
{
    static const char *const schemes[] = {"http://", "https://", "ws://", "wss://"};
    struct str url = plan_text(raw), rest = STR_NONE;
    if (!reader_is(r, raw, READER_STRING))
        return false;
    for (size_t i = 0; i < COUNT_OF(schemes) && rest.n == 0; i++) {
        if (str_starts_with(url, str_of(schemes[i])))
            rest = str_from(url, strlen(schemes[i]));
    }
    if (rest.n == 0 || rest.p[0] == '/' || rest.p[0] == ':')
        return reader_fail(r, raw, "must be http://HOST[:PORT][/PREFIX], or https, ws or wss");
    if (url.n >= LIMIT_URL)
        return reader_fail(r, raw, "longer than %d bytes", LIMIT_URL - 1);
    for (size_t i = 0; i < rest.n; i++) {
        if (rest.p[i] <= ' ' || rest.p[i] > '~' || strchr("\"\\?#@<>{}", rest.p[i]) != NULL)
            return reader_fail(r, raw,
                               rest.p[i] == '@'
                                   ? "no secret stands in a URL; the token has a file of its own"
                                   : "has a character that a gateway's URL must not have");
    }
    return true;
}

static bool check_gateway(const struct reader *r, struct str raw)
{
    struct gateway_members members = {0};
    char path[LIMIT_PATH];
    struct str name, url;
    size_t count = 0;
    if (raw.n == 0)
        return true;
    if (!BUILT_IN(CONFIG_LINK))
        return reader_fail(r, raw, "this build has no link to a gateway (LINK)");
    if (!reader_object(r, raw, gateway_fields, COUNT_OF(gateway_fields), &members))
        return false;
    if (members.token_file.n > 0 &&
        (members.token_file.n == 2 || !json_string_copy(members.token_file, path, sizeof path)))
        return reader_fail(r, members.token_file, "must be the path of a file");
    if (json_type(members.url) == JSON_STRING)
        return check_url(r, members.url);
    struct json_walk walk = json_walk(members.url);
    while (json_walk_next(&walk, &name, &url)) {
        if (count++ == PROJECT_GATEWAY_URLS)
            return reader_fail(r, url, "more than %d URLs", PROJECT_GATEWAY_URLS);
        if (!check_url(r, url))
            return false;
    }
    return count > 0 ? true : reader_fail(r, members.url, "must have at least one URL");
}

static bool check_secrets(const struct reader *r, struct str raw)
{
    struct json_walk walk = json_walk(raw);
    struct str name, value;
    while (json_walk_next(&walk, &name, &value)) {
        struct secret_members members = {0};
        if (!reader_name(r, name, "the name of a secret") ||
            !reader_object(r, value, secret_fields, COUNT_OF(secret_fields), &members))
            return false;
        if ((members.env.n > 0) == (members.file.n > 0))
            return reader_fail(r, value, "has exactly one of 'env' and 'file'");
        struct str source = members.env.n > 0 ? members.env : members.file;
        if (source.n == 2 || source.n > LIMIT_PATH)
            return reader_fail(r, source, "must name %s",
                               members.env.n > 0 ? "an environment variable" : "a file");
    }
    return true;
}

static bool check_config(const struct reader *r)
{
    struct config_members members = {0};
    struct str root = source_root(r->source);
    char name[LIMIT_NAME + 1];
    if (!reader_object(r, root, config_fields, COUNT_OF(config_fields), &members))
        return false;
    if (members.project.n > 0 &&
        (members.project.n == 2 || !json_string_copy(members.project, name, sizeof name)))
        return reader_fail(r, members.project, "must be a name of 1 to %d bytes", LIMIT_NAME);
    struct reference_scope scope = {.reader = r, .sees_secrets = true, .secrets = members.secrets};
    if (!check_gateway(r, members.gateway) || !check_secrets(r, members.secrets) ||
        !integration_check_all(r, members.integrations))
        return false;
    struct json_walk walk = json_walk(members.integrations);
    struct str key, entry, value;
    while (json_walk_next(&walk, &key, &entry)) {
        if ((json_member(entry, "config", &value) && !reference_check(&scope, value)) ||
            (json_member(entry, "env", &value) && !reference_check(&scope, value)))
            return false;
    }
    return true;
}

/* --- loading ------------------------------------------------------------------------------------------------------- */

struct str config_member(const struct project_source *config, const char *name)
{
    struct str value;
    return json_member(source_root(config), name, &value) && json_type(value) == JSON_OBJECT
               ? value
               : STR_NONE;
}

void config_borrow(struct project_source *source, struct str json)
{
    /* Read only: the JSON is never written to through this source. */
    *source = (struct project_source){.file = "charter.yml", .above = ""};
    source->json = (struct out){.p = (char *)(uintptr_t)json.p, .cap = json.n, .n = json.n};
}

bool config_load(struct project_workspace *workspace, const char *root,
                 struct project_problem *problem)
{
    struct project_source *source = &workspace->config;
    workspace_open(workspace, source, &workspace->buffers[0]);
    if (!source_load(workspace, source, root, "", "charter", problem))
        return false;
    if (json_type(source_root(source)) == JSON_NULL) {
        /* All of it is optional: a file of comments is a project. */
        source->json.n = 0;
        out_text(&source->json, "{}");
    }
    struct reader r = {source, problem, CHARTER_INVALID_PLAN};
    return check_config(&r);
}

static void write_name(struct json_writer *w, const char *root, struct str config)
{
    struct str name, path = str_of(root), rest;
    json_key(w, "name");
    if (json_member(config, "project", &name) && json_type(name) == JSON_STRING) {
        json_raw(w, name);
        return;
    }
    while (str_cut(path, '/', &name, &rest))
        path = rest;
    name = str_head(path, LIMIT_NAME);
    json_string(w, name.n == 0 ? STR("project") : name);
}

static void write_gateway(struct json_writer *w, const char *root, struct str config)
{
    struct str gateway = STR_NONE, url = STR_NONE, token = STR_NONE;
    char path[LIMIT_PATH], text[LIMIT_PATH];
    struct out absolute = OUT_ON(text);
    json_member(config, "gateway", &gateway);
    json_member(gateway, "url", &url);
    json_key(w, "gateway_urls");
    if (json_type(url) == JSON_ARRAY) {
        json_raw(w, url);
    } else {
        json_array(w);
        if (json_type(url) == JSON_STRING)
            json_raw(w, url);
        json_array_end(w);
    }
    if (json_member(gateway, "token_file", &token) && json_string_copy(token, path, sizeof path)) {
        if (path[0] != '/') {
            out_text(&absolute, root);
            out_byte(&absolute, '/');
        }
        out_text(&absolute, path);
        json_put_str(w, "token_file", out_view(&absolute));
    }
}

bool project_load(struct project_workspace *workspace, const char *root, struct out *answer,
                  struct project_problem *problem)
{
    struct json_writer w = json_writer(answer);
    json_object(&w);
    bool loaded = config_load(workspace, root, problem);
    if (loaded) {
        struct str config = source_root(&workspace->config);
        json_key(&w, "ok");
        json_object(&w);
        write_name(&w, root, config);
        write_gateway(&w, root, config);
        json_put_raw(&w, "config", config);
        json_object_end(&w);
    } else {
        json_key(&w, "error");
        problem_write(problem, &w);
    }
    json_object_end(&w);
    return loaded;
}

/* --- in the daemon ------------------------------------------------------------------------------------------------- */

bool project_take(struct project *project, struct str ok)
{
    struct str name, urls, url, token = STR_NONE, config, member;
    char text[LIMIT_URL];
    if (!json_member(ok, "name", &name) || !json_member(ok, "gateway_urls", &urls) ||
        !json_member(ok, "config", &config) || json_type(config) != JSON_OBJECT ||
        config.n >= sizeof project->config)
        return false;
    struct json_walk walk = json_walk(urls);
    while (json_walk_next(&walk, &member, &url)) {
        if (!json_string_copy(url, text, sizeof text))
            return false;
    }
    bool has_token = json_member(ok, "token_file", &token);
    if (has_token && !json_string_copy(token, text, sizeof text))
        return false;
    if (json_count(urls) > PROJECT_GATEWAY_URLS ||
        !json_string_copy(name, text, sizeof project->name))
        return false;
    str_copy(str_of(text), project->name, sizeof project->name);
    project->gateway_url_count = 0;
    walk = json_walk(urls);
    while (json_walk_next(&walk, &member, &url))
        json_string_copy(url, project->gateway_urls[project->gateway_url_count++], LIMIT_URL);
    project->token_file[0] = '\0';
    if (has_token)
        json_string_copy(token, project->token_file, sizeof project->token_file);
    memcpy(project->config, config.p, config.n);
    project->config[config.n] = '\0';
    project->config_size = config.n;
    return true;
}

void project_become(struct project *project, const struct project *next)
{
    (void)str_copy(str_of(next->name), project->name, sizeof project->name);
    (void)str_copy(str_of(next->token_file), project->token_file, sizeof project->token_file);
    project->gateway_url_count = next->gateway_url_count;
    for (size_t i = 0; i < next->gateway_url_count; i++)
        (void)str_copy(str_of(next->gateway_urls[i]), project->gateway_urls[i], LIMIT_URL);
    project->config_size = next->config_size;
    memcpy(project->config, next->config, next->config_size + 1);
}
