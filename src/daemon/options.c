#include "daemon/options.h"

#include "base/out.h"
#include "link/link.h"
#include "port.h"

#include <string.h>

static bool complain(const char *what, const char *about)
{
    char bytes[LIMIT_URL + 256];
    struct out out = OUT_ON(bytes);
    out_format(&out, "charter-daemon: %s%s%s; see charter-daemon --help\n", what,
               about[0] == '\0' ? "" : ": ", about);
    port_stderr(out_view(&out));
    return false;
}

static bool set_path(char *to, const char *path, const char *what)
{
    if (!str_copy(str_of(path), to, LIMIT_PATH))
        return complain(what, "the path is too long");
    return true;
}

/* A URL that is refused, with the reason: it may hold a password. */
static bool complain_of_url(const char *flag, const char *url, const char *reason)
{
    char bytes[LIMIT_URL + 128];
    struct out out = OUT_ON(bytes);

    url_write_safe(&out, str_head(str_of(url), LIMIT_URL));
    out_text(&out, ": ");
    out_text(&out, reason);
    return complain(flag, out_cstr(&out));
}

static bool set_proxy(struct options *options, const char *url)
{
    const char *reason = "it is too long";

    if (!str_copy(str_of(url), options->proxy.url, sizeof options->proxy.url) ||
        !proxy_url_is_good(url, &reason))
        return complain_of_url("--proxy", url, reason);
    return true;
}

static bool add_gateway(struct options *options, const char *url)
{
    const char *reason;

    if (options->gateway_count == OPTIONS_URLS)
        return complain_of_url("--gateway", url, "too many gateways");
    if (!str_copy(str_of(url), options->gateways[options->gateway_count], LIMIT_URL))
        return complain("--gateway", "the URL is too long");
    if (!link_url_is_good(url, &reason))
        return complain_of_url("--gateway", url, reason);
    options->gateway_count++;
    return true;
}

/* "A,B": the first and the longest window of the link's backoff. */
static bool set_reconnect(struct options *options, const char *value)
{
    struct str first, longest;
    uint64_t a, b;

    if (!str_cut(str_of(value), ',', &first, &longest) || !str_to_u64(first, &a) ||
        !str_to_u64(longest, &b) || a < 1 || b < a || b > 3600000)
        return complain("--reconnect-ms must be two numbers from 1 to 3600000, the larger one "
                        "behind the comma",
                        value);
    options->reconnect_first_ms = (int64_t)a;
    options->reconnect_longest_ms = (int64_t)b;
    return true;
}

static bool set_journal(struct options *options, const char *value)
{
    uint64_t kib;

    if (!str_to_u64(str_of(value), &kib) || kib < 2048 || kib > 1048576)
        return complain("--journal-kib must be a number from 2048 to 1048576", value);
    options->journal_bytes = (int64_t)kib * 1024;
    return true;
}

static bool set_level(struct options *options, const char *value)
{
    char bytes[128];
    struct out out = OUT_ON(bytes);

    if (log_level_read(str_of(value), &options->log_level))
        return true;
    out_format(&out, "--log-level must be %s%s", log_level_names(),
               LOG_BUILT < LOG_DEBUG ? ", this build logs nothing else" : "");
    return complain(out_cstr(&out), value);
}

static bool set_format(struct options *options, const char *value)
{
    options->log_format = strcmp(value, "json") == 0 ? LOG_JSON : LOG_TEXT;
    return strcmp(value, "json") == 0 || strcmp(value, "text") == 0 ||
           complain("--log-format must be text or json", value);
}

static bool set_tls(struct options *options, const char *flag, const char *value)
{
    char bytes[LIMIT_URL + 128];
    struct out out = OUT_ON(bytes);
    const char *reason;

    if (tls_option_take(&options->tls, str_of(flag), value, &reason))
        return true;
    out_format(&out, "%s %.*s", flag, STR_ARG(str_head(str_of(value), LIMIT_URL)));
    return complain(out_cstr(&out), reason);
}

/* "SEQ:SHA256", as verify prints it and the gateway keeps it. */
static bool set_head(struct options *options, const char *value)
{
    struct str seq, hash;

    if (str_cut(str_of(value), ':', &seq, &hash) && str_to_u64(seq, &options->head.seq) &&
        options->head.seq > 0 && chain_hash_read(hash, &options->head.hash))
        return true;
    return complain("--head must be SEQ:SHA256, an event's number and 64 hexadecimal digits",
                    value);
}

enum flag {
    FLAG_PROJECT,
    FLAG_GATEWAY,
    FLAG_TOKEN,
    FLAG_PROXY,
    FLAG_PROXY_CREDENTIALS,
    FLAG_RECONNECT,
    FLAG_TLS_CA,
    FLAG_TLS_PIN,
    FLAG_TLS_CERT,
    FLAG_TLS_KEY,
    FLAG_TLS_CRL,
    FLAG_TLS_MIN,
    FLAG_LEVEL,
    FLAG_FORMAT,
    FLAG_JOURNAL,
    FLAG_SALVAGE,
    FLAG_BACKGROUND,
    FLAG_HEAD,
    FLAG_JSON,
    FLAGS
};

/* The symbol that a flag wants. */
#define NEEDS(symbol) (BUILT_IN(CONFIG_##symbol) ? NULL : #symbol)

static const struct {
    const char *name, *variable;
    bool wants_value, start_only;
    const char *lacks; /* the symbol without which this build does not know it; NULL: it does */
} flags[FLAGS] = {
    [FLAG_PROJECT] = {"--project-path", "CHARTER_PROJECT_PATH", true, false, NULL},
    [FLAG_GATEWAY] = {"--gateway", "CHARTER_GATEWAY", true, true, NEEDS(LINK)},
    [FLAG_TOKEN] = {"--token-file", "CHARTER_TOKEN_FILE", true, true, NEEDS(LINK)},
    [FLAG_PROXY] = {"--proxy", "CHARTER_PROXY", true, true, NEEDS(PROXY)},
    [FLAG_PROXY_CREDENTIALS] = {"--proxy-credentials-file", "CHARTER_PROXY_CREDENTIALS_FILE", true,
                                true, NEEDS(PROXY)},
    [FLAG_RECONNECT] = {"--reconnect-ms", "CHARTER_RECONNECT_MS", true, true, NEEDS(LINK)},
    [FLAG_TLS_CA] = {"--tls-ca", "CHARTER_TLS_CA", true, true, NULL},
    [FLAG_TLS_PIN] = {"--tls-pin", "CHARTER_TLS_PIN", true, true, NULL},
    [FLAG_TLS_CERT] = {"--tls-cert", "CHARTER_TLS_CERT", true, true, NULL},
    [FLAG_TLS_KEY] = {"--tls-key", "CHARTER_TLS_KEY", true, true, NULL},
    [FLAG_TLS_CRL] = {"--tls-crl", "CHARTER_TLS_CRL", true, true, NULL},
    [FLAG_TLS_MIN] = {"--tls-min", "CHARTER_TLS_MIN", true, true, NULL},
    [FLAG_LEVEL] = {"--log-level", "CHARTER_LOG_LEVEL", true, false, NULL},
    [FLAG_FORMAT] = {"--log-format", "CHARTER_LOG_FORMAT", true, false, NULL},
    [FLAG_JOURNAL] = {"--journal-kib", "CHARTER_JOURNAL_KIB", true, true, NULL},
    [FLAG_SALVAGE] = {"--salvage", NULL, false, true, NEEDS(SALVAGE)},
    [FLAG_BACKGROUND] = {"--background", NULL, false, true, NULL},
    [FLAG_HEAD] = {"--head", NULL, true, false, NULL},
    [FLAG_JSON] = {"--json", NULL, false, false, NULL},
};

static bool complain_of_lack(const char *about, const char *symbol)
{
    char bytes[128];
    struct out out = OUT_ON(bytes);

    out_format(&out, "this build does without it (%s)", symbol);
    return complain(out_cstr(&out), about);
}

static bool apply(struct options *options, enum flag flag, const char *value)
{
    /* A build that knows no proxies uses none. */
    if (flag == FLAG_PROXY && flags[flag].lacks != NULL && strcmp(value, "none") == 0)
        return true;
    if (flags[flag].lacks != NULL)
        return complain_of_lack(flags[flag].name, flags[flag].lacks);
    switch (flag) {
    case FLAG_PROJECT:
        return set_path(options->project_path, value, "--project-path");
    case FLAG_GATEWAY:
        return add_gateway(options, value);
    case FLAG_TOKEN:
        return set_path(options->token_file, value, "--token-file");
    case FLAG_PROXY:
        return set_proxy(options, value);
    case FLAG_PROXY_CREDENTIALS:
        return set_path(options->proxy.credentials_file, value, "--proxy-credentials-file");
    case FLAG_RECONNECT:
        return set_reconnect(options, value);
    case FLAG_TLS_CA:
    case FLAG_TLS_PIN:
    case FLAG_TLS_CERT:
    case FLAG_TLS_KEY:
    case FLAG_TLS_CRL:
    case FLAG_TLS_MIN:
        return set_tls(options, flags[flag].name, value);
    case FLAG_LEVEL:
        return set_level(options, value);
    case FLAG_FORMAT:
        return set_format(options, value);
    case FLAG_JOURNAL:
        return set_journal(options, value);
    case FLAG_SALVAGE:
        options->salvage = true;
        return true;
    case FLAG_BACKGROUND:
        options->background = true;
        return true;
    case FLAG_HEAD:
        return set_head(options, value);
    case FLAG_JSON:
        options->json = true;
        return true;
    case FLAGS:
        break;
    }
    return false;
}

/* "--flag value" and "--flag=value". */
static bool read_flag(struct options *options, int argc, char **argv, int *at, bool seen[FLAGS])
{
    struct str name, value;
    bool has_value = str_cut(str_of(argv[*at]), '=', &name, &value);

    for (int i = 0; i < FLAGS; i++) {
        const char *given = "";
        if (!str_is(name, flags[i].name))
            continue;
        if (flags[i].start_only && options->command != COMMAND_START)
            return complain("this flag belongs to start", flags[i].name);
        if ((i == FLAG_HEAD || i == FLAG_JSON) && options->command != COMMAND_VERIFY)
            return complain("this flag belongs to verify", flags[i].name);
        if (flags[i].wants_value && has_value)
            given = value.p;
        else if (flags[i].wants_value && *at + 1 < argc)
            given = argv[++*at];
        else if (flags[i].wants_value || has_value)
            return complain(flags[i].wants_value ? "a value is missing behind" : "takes no value",
                            flags[i].name);
        seen[i] = true;
        return apply(options, (enum flag)i, given);
    }
    return complain("unknown argument", argv[*at]);
}

static bool read_environment(struct options *options, const bool seen[FLAGS])
{
    for (int i = 0; i < FLAGS; i++) {
        const char *value = flags[i].variable == NULL ? NULL : port_environment(flags[i].variable);
        if (value != NULL && value[0] != '\0' && !seen[i] &&
            (!flags[i].start_only || options->command == COMMAND_START) &&
            !apply(options, (enum flag)i, value))
            return complain("this is from the environment", flags[i].variable);
    }
    return true;
}

static bool make_path_absolute(char path[LIMIT_PATH], const char *flag)
{
    char given[LIMIT_PATH];

    if (path[0] == '\0' || path[0] == '/')
        return true;
    memcpy(given, path, sizeof given);
    if (port_real_path(given, path, LIMIT_PATH) != OK)
        return complain(flag, port_last_error());
    return true;
}

/* Apart, so that its buffer is on the stack of those alone who need it. */
static __attribute__((noinline)) bool complain_of_path(const char *given)
{
    char bytes[2 * LIMIT_PATH];
    struct out out = OUT_ON(bytes);

    out_format(&out, "%s: %s", given, port_last_error());
    return complain("--project-path", out_cstr(&out));
}

static bool make_absolute(struct options *options)
{
    char given[LIMIT_PATH];

    memcpy(given, options->project_path, sizeof given);
    if (port_real_path(given[0] == '\0' ? "." : given, options->project_path,
                       sizeof options->project_path) != OK) {
        return complain_of_path(given);
    }
    return make_path_absolute(options->token_file, "--token-file") &&
           make_path_absolute(options->proxy.credentials_file, "--proxy-credentials-file");
}

bool options_read(struct options *options, int argc, char **argv)
{
    static const struct {
        const char *name;
        enum daemon_command command;
        const char *lacks;
    } commands[] = {
        {"start", COMMAND_START, NULL},
        {"check", COMMAND_CHECK, NEEDS(CHECK)},
        {"verify", COMMAND_VERIFY, NEEDS(JOURNAL_CHAIN)},
        {"limits", COMMAND_LIMITS, NEEDS(LIMITS)},
        {"--version", COMMAND_VERSION, NULL},
        {"--help", COMMAND_HELP, NULL},
        {"-h", COMMAND_HELP, NULL},
    };
    bool seen[FLAGS] = {false}, found = false;
    const char *lacks = NULL;

    bytes_clear(options, sizeof *options);
    options->log_level = LOG_DEFAULT;
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            options->command = commands[i].command;
            lacks = commands[i].lacks;
            found = true;
        }
    if (!found && argc > 1)
        return complain("unknown command", argv[1]);
    if (!found) {
        char bytes[64];
        struct out out = OUT_ON(bytes);
        for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
            if (commands[i].lacks == NULL && commands[i].name[0] != '-')
                out_format(&out, "%s%s", out.n == 0 ? "" : ", ", commands[i].name);
        return complain("a command is missing", out_cstr(&out));
    }
    if (lacks != NULL)
        return complain_of_lack(argv[1], lacks);
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            options->command = COMMAND_HELP;
            return true;
        }
        if (!read_flag(options, argc, argv, &i, seen))
            return false;
    }
    if (options->command != COMMAND_START && options->command != COMMAND_CHECK &&
        options->command != COMMAND_VERIFY)
        return true;
    if (!read_environment(options, seen) || !make_absolute(options))
        return false;
    const char *reason;
    return tls_options_are_good(&options->tls, &reason) || complain(reason, "");
}
