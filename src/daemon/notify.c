#include "daemon/notify.h"

#include "base/log.h"
#include "base/out.h"
#include "port.h"

#include <string.h>

/* A status is for people: once a second is enough, and a busy daemon has better things to do. */
#define STATUS_EVERY_MS 1000
#define RETRY_MS 100

void notify_start(struct notify *notify, const char *path, const char *watchdog_us,
                  const char *watchdog_pid, int64_t pid)
{
    uint64_t us, whose = (uint64_t)pid;

    *notify = (struct notify){.phase = NOTIFY_STARTING};
    if (path == NULL || path[0] == '\0')
        return;
    if ((path[0] != '/' && path[0] != '@') ||
        !str_copy(str_of(path), notify->path, sizeof notify->path)) {
        log_warning("daemon", "NOTIFY_SOCKET is no socket that can be told anything: %.200s", path);
        notify->path[0] = '\0';
        return;
    }
    if (watchdog_us == NULL || watchdog_us[0] == '\0')
        return;
    if (!str_to_u64(str_of(watchdog_us), &us) || us == 0 || us > INT64_MAX ||
        (watchdog_pid != NULL && watchdog_pid[0] != '\0' &&
         !str_to_u64(str_of(watchdog_pid), &whose))) {
        log_warning("daemon",
                    "WATCHDOG_USEC or WATCHDOG_PID is no number: no signs of life are sent");
        return;
    }
    if (whose == (uint64_t)pid) /* rounded up: 0 would mean none */
        notify->watchdog_ms = (int64_t)((us + 1999) / 2000);
}

static bool status_differs(const struct notify *notify)
{
    const struct notify_status *a = &notify->status, *b = &notify->status_told;

    return a->executing != b->executing || a->waiting != b->waiting ||
           a->waits_for_space != b->waits_for_space || a->gateway != b->gateway;
}

static void put_status(struct out *out, const struct notify_status *status)
{
    out_format(out, "STATUS=%u runs executing, %u queued or waiting; ", status->executing,
               status->waiting);
    if (status->gateway != NULL)
        out_format(out, "gateway %s", status->gateway);
    else
        out_text(out, "no gateway");
    if (status->waits_for_space)
        out_text(out, "; the journal cannot be written, everything waits");
    out_byte(out, '\n');
}

static bool alive_is_due(const struct notify *notify, int64_t now_ms)
{
    return notify->watchdog_ms > 0 && notify->phase != NOTIFY_STARTING &&
           now_ms >= notify->alive_at_ms;
}

static void take_failure(struct notify *notify, enum err err, int64_t now_ms)
{
    /* Full is not broken.  What is broken may come back with the manager. */
    notify->retry_at_ms = now_ms + (err == ERR_AGAIN ? RETRY_MS : STATUS_EVERY_MS);
    if (err != ERR_AGAIN && !notify->failed)
        log_warning("daemon", "the service manager cannot be told at %s: %s; tried on",
                    notify->path, port_last_error());
    notify->failed = notify->failed || err != ERR_AGAIN;
}

void notify_tell(struct notify *notify, int64_t now_ms)
{
    char bytes[256];
    struct out out = OUT_ON(bytes);
    bool turns, says, lives;

    if (notify->path[0] == '\0' || now_ms < notify->retry_at_ms)
        return;
    turns = notify->phase != notify->told;
    says = notify->phase != NOTIFY_STARTING &&
           (turns || (status_differs(notify) && now_ms >= notify->status_at_ms));
    lives = alive_is_due(notify, now_ms);
    if (!turns && !says && !lives)
        return;
    if (turns)
        out_text(&out, notify->phase == NOTIFY_READY ? "READY=1\n" : "STOPPING=1\n");
    if (says)
        put_status(&out, &notify->status);
    if (lives)
        out_text(&out, "WATCHDOG=1\n");
    enum err err = port_notify(notify->path, out_view(&out));
    if (err != OK) {
        take_failure(notify, err, now_ms);
        return;
    }
    notify->told = notify->phase;
    notify->failed = false;
    if (says) {
        notify->status_told = notify->status;
        notify->status_at_ms = now_ms + STATUS_EVERY_MS;
    }
    if (lives)
        notify->alive_at_ms = now_ms + notify->watchdog_ms;
}

int64_t notify_next_ms(const struct notify *notify)
{
    int64_t next = -1;

    if (notify->path[0] == '\0' || notify->phase == NOTIFY_STARTING)
        return -1;
    if (notify->watchdog_ms > 0)
        next = notify->alive_at_ms;
    if (status_differs(notify) && (next < 0 || notify->status_at_ms < next))
        next = notify->status_at_ms;
    if (notify->phase != notify->told)
        next = 0;
    return next >= 0 && next < notify->retry_at_ms ? notify->retry_at_ms : next;
}
