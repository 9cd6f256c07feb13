/* Owns the way from a file's bytes to DER.  Invariant: `offset + at` is the file's next byte that was not looked at. */
#include "link/tls_file.h"

#include "port.h"

#include <string.h>

static enum err seek(struct tls_file *file, int64_t to)
{
    file->offset = to;
    file->at = file->n = 0;
    file->bits = file->held = 0;
    file->ended = file->padded = false;
    return OK;
}

static enum err byte(struct tls_file *file, char *c)
{
    if (file->at == file->n) {
        file->offset += (int64_t)file->n;
        file->at = file->n = 0;
        enum err err =
            port_read_at(file->fd, file->bytes, sizeof file->bytes, file->offset, &file->n);
        if (err != OK)
            return err;
        if (file->n == 0)
            return ERR_END;
    }
    *c = file->bytes[file->at++];
    return OK;
}

/* One line without its end; what does not fit is dropped, because no line that matters is long. */
static enum err line(struct tls_file *file, char *to, size_t size, size_t *n)
{
    char c;
    enum err err;

    *n = 0;
    while ((err = byte(file, &c)) == OK && c != '\n')
        if (*n < size && c != '\r')
            to[(*n)++] = c;
    return err == ERR_END && *n > 0 ? OK : err;
}

enum err tls_file_open(struct tls_file *file, const char *path)
{
    struct port_stat stat;
    char first;

    memset(file, 0, offsetof(struct tls_file, bytes));
    /* Before it is opened: a pipe would block. */
    enum err err = port_stat(path, &stat);
    if (err != OK)
        return err;
    if (stat.kind != PORT_FILE)
        return ERR_INVALID;
    err = port_open(path, PORT_READ, &file->fd);
    if (err != OK)
        return err;
    /* DER begins with the tag of a SEQUENCE, which is also the digit 0: nobody begins a text with it and a length byte. */
    file->is_pem = byte(file, &first) != OK || first != 0x30;
    return seek(file, 0);
}

void tls_file_close(struct tls_file *file)
{
    port_close(file->fd);
    port_wipe(file, sizeof *file); /* it may have been a key */
}

/* Header lines ("Proc-Type: 4,ENCRYPTED") stand before the base64, with a blank line between. */
static enum err skip_headers(struct tls_file *file)
{
    char text[80];
    size_t n;
    int64_t start = file->offset + (int64_t)file->at;
    enum err err = line(file, text, sizeof text, &n);

    file->encrypted = err == OK && str_find(str_range(text, n), ':') < n;
    if (!file->encrypted) {
        file->start = start;
        return seek(file, start);
    }
    while (err == OK && n > 0)
        err = line(file, text, sizeof text, &n);
    file->start = file->offset + (int64_t)file->at;
    return OK;
}

enum err tls_file_next(struct tls_file *file)
{
    const struct str begin = STR("-----BEGIN "), end = STR("-----");
    char text[80];
    size_t n;
    enum err err;

    file->bits = file->held = 0;
    file->ended = file->padded = false;
    if (!file->is_pem) {
        if (file->start != 0)
            return ERR_END;
        file->start = 1; /* seen; tls_file_again() knows that DER starts at 0 */
        return seek(file, 0);
    }
    while ((err = line(file, text, sizeof text, &n)) == OK) {
        struct str all = str_trim(str_range(text, n));
        if (!str_starts_with(all, begin) || all.n < begin.n + end.n ||
            !str_equal(str_from(all, all.n - end.n), end))
            continue;
        struct str label = str_from(all, begin.n);
        (void)str_copy(str_head(label, label.n - end.n), file->label, sizeof file->label);
        return skip_headers(file);
    }
    return err;
}

enum err tls_file_again(struct tls_file *file)
{
    return seek(file, file->is_pem ? file->start : 0);
}

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The next byte of the base64. */
static enum err decode(struct tls_file *file, unsigned char *to)
{
    char c;

    while (file->held < 8) {
        if (file->ended || byte(file, &c) != OK)
            return ERR_SYNTAX;
        int value = digit_value(c);
        if (value >= 0 && !file->padded) {
            file->bits = file->bits << 6 | (uint32_t)value;
            file->held += 6;
        } else if (c == '=') {
            file->padded = true;
        } else if (c != '\n' && c != '\r' && c != ' ' && c != '\t') {
            file->ended = true; /* the "-" of the last line, or what does not belong here */
            return ERR_SYNTAX;
        }
    }
    file->held -= 8;
    *to = (unsigned char)(file->bits >> file->held);
    return OK;
}

enum err tls_file_get(struct tls_file *file, void *to, size_t n)
{
    unsigned char *p = to;
    enum err err = OK;

    for (size_t i = 0; i < n && err == OK; i++) {
        char c = 0;
        if (file->is_pem) {
            err = decode(file, &p[i]);
        } else {
            err = byte(file, &c) == OK ? OK : ERR_SYNTAX;
            p[i] = (unsigned char)c;
        }
    }
    return err;
}

enum err tls_file_skip(struct tls_file *file, size_t n)
{
    unsigned char piece[64];
    enum err err = OK;

    while (n > 0 && err == OK) {
        size_t some = n < sizeof piece ? n : sizeof piece;
        err = tls_file_get(file, piece, some);
        n -= some;
    }
    return err;
}

enum err tls_file_head(struct tls_file *file, unsigned *tag, size_t *length, unsigned char *raw,
                       size_t *raw_n)
{
    *raw_n = 2;
    if (tls_file_get(file, raw, 2) != OK)
        return ERR_SYNTAX;
    *tag = raw[0];
    *length = raw[1];
    if ((raw[1] & 0x80) == 0)
        return OK;
    size_t bytes = raw[1] & 0x7FU;
    if (bytes == 0 || bytes > 4 || tls_file_get(file, raw + 2, bytes) != OK)
        return ERR_SYNTAX;
    *raw_n += bytes;
    *length = 0;
    for (size_t i = 0; i < bytes; i++)
        *length = *length << 8 | raw[2 + i];
    return *length > INT32_MAX ? ERR_SYNTAX : OK;
}

enum err tls_file_enter(struct tls_file *file, unsigned tag, size_t *length)
{
    unsigned char raw[6];
    unsigned found;
    size_t raw_n;
    enum err err = tls_file_head(file, &found, length, raw, &raw_n);

    return err == OK && found != tag ? ERR_SYNTAX : err;
}
