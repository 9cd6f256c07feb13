#include "gateway/options.h"

#include "base/log.h"

#include <string.h>

static const char help[] =
    "usage: charter-gateway --listen HOST:PORT --store FILE.db [options]\n"
    "\n"
    "Receives the events of charter daemons, stores them, and passes commands to them.\n"
    "\n"
    "  --listen HOST:PORT   numeric address to listen on; port 0 takes a free one, *:PORT listens\n"
    "                       everywhere (default 127.0.0.1:8765); the address in use is printed\n"
    "  --store FILE.db      SQLite database, made when missing\n"
    "  --token-file FILE    everything under /v1 wants this bearer token; read again on SIGHUP\n"
    "  --name NAME          how the gateway calls itself (default: gateway)\n"
    "  --heartbeat-s N      a daemon silent for 1.5 times as long is gone (default 30)\n"
    "  --log-level LEVEL    " LOG_LEVELS " (default: " LOG_DEFAULT_NAME ")\n"
    "  --version, --help\n"
    "\n"
    "Each option may also be given as CHARTER_GATEWAY_LISTEN, _STORE, _TOKEN_FILE, _NAME, _HEARTBEAT_S,\n"
    "_LOG_LEVEL in the environment; flags win.\n"
    "Exit codes: 0 stopped by a signal, 1 cannot listen, open the store or read the token, 2 usage.\n";

const char *gateway_options_help(void)
{
    return help;
}

bool gateway_options_read_address(struct str text, char *host, size_t size, unsigned *port)
{
    struct str name, number;
    uint64_t value;

    if (text.n > 0 && text.p[0] == '[') {
        if (!str_cut(str_from(text, 1), ']', &name, &number) || number.n == 0 || number.p[0] != ':')
            return false;
        number = str_from(number, 1);
    } else {
        if (!str_cut(text, ':', &name, &number))
            return false;
    }
    if (str_is(name, "*"))
        name = STR_NONE;
    if (str_is(name, "localhost"))
        name = STR("127.0.0.1");
    if (!str_to_u64(number, &value) || value > 65535 || !str_copy(name, host, size))
        return false;
    *port = (unsigned)value;
    return true;
}

static bool take_listen(struct gateway_options *options, struct str value)
{
    return gateway_options_read_address(value, options->host, sizeof options->host, &options->port);
}

static bool take_store(struct gateway_options *options, struct str value)
{
    return value.n > 0 && str_copy(value, options->store, sizeof options->store);
}

static bool take_token_file(struct gateway_options *options, struct str value)
{
    return str_copy(value, options->token_file, sizeof options->token_file);
}

static bool take_name(struct gateway_options *options, struct str value)
{
    return value.n > 0 && str_copy(value, options->name, sizeof options->name);
}

static bool take_heartbeat(struct gateway_options *options, struct str value)
{
    uint64_t seconds;

    if (!str_to_u64(value, &seconds) || seconds < 1 || seconds > GATEWAY_HEARTBEAT_S_MAX)
        return false;
    options->heartbeat_s = (int64_t)seconds;
    return true;
}

static bool take_log_level(struct gateway_options *options, struct str value)
{
    return log_level_read(value, &options->log_level);
}

static const struct {
    const char *flag, *variable, *wants;
    bool (*take)(struct gateway_options *options, struct str value);
} table[] = {
    {"--listen", "CHARTER_GATEWAY_LISTEN", "a numeric HOST:PORT", take_listen},
    {"--store", "CHARTER_GATEWAY_STORE", "a file name", take_store},
    {"--token-file", "CHARTER_GATEWAY_TOKEN_FILE", "a file name", take_token_file},
    {"--name", "CHARTER_GATEWAY_NAME", "a name of at most 64 bytes", take_name},
    {"--heartbeat-s", "CHARTER_GATEWAY_HEARTBEAT_S", "seconds from 1 to 3600", take_heartbeat},
    {"--log-level", "CHARTER_GATEWAY_LOG_LEVEL", "one of " LOG_LEVELS, take_log_level},
};

#define TABLE (sizeof table / sizeof table[0])

static bool read_environment(struct gateway_options *options, struct out *why)
{
    for (size_t i = 0; i < TABLE; i++) {
        const char *value = port_environment(table[i].variable);
        if (value != NULL && value[0] != '\0' && !table[i].take(options, str_of(value))) {
            out_format(why, "%s must be %s", table[i].variable, table[i].wants);
            return false;
        }
    }
    return true;
}

/* One flag, "--flag value" or "--flag=value"; *used counts arguments. */
static bool read_flag(struct gateway_options *options, int left, char **argv, int *used,
                      struct out *why)
{
    struct str flag, value;
    bool joined = str_cut(str_of(argv[0]), '=', &flag, &value);

    for (size_t i = 0; i < TABLE; i++) {
        if (!str_is(flag, table[i].flag))
            continue;
        if (!joined && left < 2) {
            out_format(why, "%s wants %s behind it", table[i].flag, table[i].wants);
            return false;
        }
        if (!table[i].take(options, joined ? value : str_of(argv[1]))) {
            out_format(why, "%s must be %s", table[i].flag, table[i].wants);
            return false;
        }
        *used = joined ? 1 : 2;
        return true;
    }
    out_format(why, "unknown argument %s", argv[0]);
    return false;
}

enum gateway_options_outcome gateway_options_read(int argc, char **argv,
                                                  struct gateway_options *options, struct out *why)
{
    *options = (struct gateway_options){.host = "127.0.0.1",
                                        .port = 8765,
                                        .name = "gateway",
                                        .heartbeat_s = GATEWAY_HEARTBEAT_S,
                                        .log_level = LOG_DEFAULT};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return GATEWAY_OPTIONS_HELP;
        if (strcmp(argv[i], "--version") == 0)
            return GATEWAY_OPTIONS_VERSION;
    }
    if (!read_environment(options, why))
        return GATEWAY_OPTIONS_WRONG;
    for (int i = 1; i < argc;) {
        int used = 1;
        if (!read_flag(options, argc - i, argv + i, &used, why))
            return GATEWAY_OPTIONS_WRONG;
        i += used;
    }
    if (options->store[0] == '\0') {
        out_text(why, "--store FILE.db is missing: where events are kept");
        return GATEWAY_OPTIONS_WRONG;
    }
    return GATEWAY_OPTIONS_RUN;
}
