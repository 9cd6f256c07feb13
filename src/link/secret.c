/* Owns no state but the caller's. */
#include "link/secret.h"

#include "base/hash.h"
#include "base/limits.h"

#include <string.h>

void secret_look(struct secret *secret)
{
    if (secret->path == NULL || secret->path[0] == '\0' ||
        port_stat(secret->path, &secret->seen) != OK)
        memset(&secret->seen, 0, sizeof secret->seen);
}

enum err secret_read(struct secret *secret, char *buffer, size_t size, struct str *text)
{
    size_t got = 0;

    *text = STR_NONE;
    if (secret->path == NULL || secret->path[0] == '\0')
        return OK;
    secret_look(secret); /* before the reading: a change in between is seen as one later */
    enum err err = port_read_regular_file(secret->path, buffer, size, &got);
    if (err == OK)
        *text = str_trim(str_range(buffer, got));
    return err;
}

#define SECRET_SHORTEST 4  /* bytes; what is shorter would be found in every other word */
#define SECRET_BEGINNING 8 /* bytes that are as good as all of it: texts of peers are cut */

static void hide(struct str secret, char *text)
{
    size_t length = strlen(text);

    if (secret.n < SECRET_SHORTEST)
        return;
    for (size_t at = 0; at < length; at++) {
        size_t n = 0;
        while (n < secret.n && at + n < length && text[at + n] == secret.p[n])
            n++;
        if (n < secret.n && n < SECRET_BEGINNING)
            continue;
        memcpy(text + at, "***", 3);
        memmove(text + at + 3, text + at + n, length - at - n + 1);
        length -= n - 3;
        at += 2;
    }
}

void secret_hide(const char *path, char *text)
{
    char buffer[LIMIT_TOKEN];
    struct secret secret = {.path = path};
    char digits[SECRET_TEXT + 1];
    struct out basic = OUT_ON(digits);
    struct str whole, user, password;

    if (secret_read(&secret, buffer, sizeof buffer, &whole) == OK) {
        hide(whole, text);
        if (str_cut(whole, ':', &user, &password)) {
            hide(password, text);
            /* As it goes to a proxy. */
            whole = str_head(whole, SECRET_TEXT / 4 * 3);
            base64_encode(&basic, (const unsigned char *)whole.p, whole.n);
            hide(out_view(&basic), text);
        }
    }
    port_wipe(digits, sizeof digits);
    port_wipe(buffer, sizeof buffer);
}

bool secret_has_changed(const struct secret *secret)
{
    struct port_stat now;
    const struct port_stat *seen = &secret->seen;

    if (secret->path == NULL || secret->path[0] == '\0' || port_stat(secret->path, &now) != OK)
        return false;
    return now.mtime_ms != seen->mtime_ms || now.size != seen->size || now.inode != seen->inode ||
           now.device != seen->device;
}
