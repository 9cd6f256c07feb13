#include "run/failure.h"

#include "port.h"

#include <stdarg.h>
#include <string.h>

const char *failure_kind_name(enum failure_kind kind)
{
    static const char *const names[] = {
        [FAILURE_NONE] = "none",
        [FAILURE_SPAWN_FAILED] = CHARTER_KIND_SPAWN_FAILED,
        [FAILURE_SETUP_FAILED] = CHARTER_KIND_SETUP_FAILED,
        [FAILURE_INTEGRATION_ERROR] = CHARTER_KIND_INTEGRATION_ERROR,
        [FAILURE_EXITED] = CHARTER_KIND_EXITED,
        [FAILURE_PROTOCOL] = CHARTER_KIND_PROTOCOL,
        [FAILURE_TOO_LARGE] = CHARTER_KIND_TOO_LARGE,
        [FAILURE_TIMEOUT] = CHARTER_KIND_TIMEOUT,
        [FAILURE_CANCELLED] = CHARTER_KIND_CANCELLED,
        [FAILURE_INTERRUPTED] = CHARTER_KIND_INTERRUPTED,
        [FAILURE_OUTPUT_TYPE] = CHARTER_KIND_OUTPUT_TYPE,
        [FAILURE_TEMPLATE] = CHARTER_KIND_TEMPLATE,
    };
    return names[kind];
}

void failure_set(struct failure *failure, enum failure_kind kind, const char *format, ...)
{
    va_list args;
    struct out message = OUT_ON(failure->message);

    va_start(args, format);
    out_vformat_cut(&message, format, args);
    va_end(args);
    out_cstr(&message);
    failure->kind = kind;
    failure->has_code = false;
    failure->no_retry = false;
    failure->exit_code = -1;
    failure->signal = -1;
}

bool failure_may_be_retried(const struct failure *failure)
{
    return failure->kind != FAILURE_CANCELLED && failure->kind != FAILURE_TEMPLATE &&
           !failure->no_retry;
}

void failure_write(struct json_writer *w, const struct failure *failure, struct str stderr_lines)
{
    struct str line;

    json_object(w);
    json_put_text(w, "kind", failure_kind_name(failure->kind));
    json_put_text(w, "message", failure->message);
    json_key(w, "stderr");
    json_array(w);
    while (stderr_lines.n > 0) {
        (void)str_cut(stderr_lines, '\n', &line, &stderr_lines);
        json_string(w, line);
    }
    json_array_end(w);
    if (failure->exit_code >= 0)
        json_put_i64(w, "exit_code", failure->exit_code);
    if (failure->signal > 0)
        json_put_text(w, "signal", port_signal_name(failure->signal));
    if (failure->has_code)
        json_put_i64(w, "code", failure->code);
    json_object_end(w);
}
