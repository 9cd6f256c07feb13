/* Owns the reading of the TLS flags.  It opens no file: whether one can be used is told when it is. */
#include "link/tls_options.h"

#include "base/built.h"
#include "port.h"

#include <stddef.h>
#include <string.h>

/* Links stay in the path: what they point to is looked up at each connection. */
static bool take_path(char to[LIMIT_PATH], const char *path, const char **reason)
{
    char here[LIMIT_PATH];
    size_t n = 0;

    *reason = "a path is missing";
    if (path[0] == '\0')
        return false;
    *reason = "the path is too long";
    if (path[0] != '/') {
        if (port_current_directory(here, sizeof here) != OK)
            return false;
        n = strlen(here);
        if (n + 2 > LIMIT_PATH)
            return false;
        memcpy(to, here, n);
        to[n++] = '/';
    }
    return str_copy(str_of(path), to + n, LIMIT_PATH - n);
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

/* 32 bytes are 43 digits and one "=". */
static bool read_pin(struct str text, unsigned char pin[TLS_PIN])
{
    const struct str prefix = STR("sha256//");
    unsigned bits = 0, held = 0;
    size_t n = 0;

    if (!str_starts_with(text, prefix))
        return false;
    struct str digits = str_from(text, prefix.n);
    if (digits.n != 44 || digits.p[43] != '=')
        return false;
    for (size_t i = 0; i < 43; i++) {
        int value = digit_value(digits.p[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (unsigned)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            pin[n++] = (unsigned char)(bits >> held);
        }
    }
    return (bits & ((1U << held) - 1)) == 0;
}

static bool take_pins(struct tls_options *options, struct str list, const char **reason)
{
    struct str pin;
    bool more;

    do {
        more = str_cut(list, ';', &pin, &list);
        *reason = "at most 8 pins can be given";
        if (options->pin_count == TLS_PINS)
            return false;
        *reason = "a pin is sha256// and the 44 characters of a SHA-256 in base64";
        if (!read_pin(pin, options->pins[options->pin_count]))
            return false;
        options->pin_count++;
    } while (more);
    return true;
}

static bool take_version(struct tls_options *options, const char *value, const char **reason)
{
    *reason = "the lowest version is 1.2 or 1.3";
    options->only_1_3 = strcmp(value, "1.3") == 0;
    if (!options->only_1_3 && strcmp(value, "1.2") != 0)
        return false;
    if (!BUILT_IN(CONFIG_TLS_1_2))
        options->only_1_3 = true; /* this build knows no other */
    return true;
}

bool tls_option_take(struct tls_options *options, struct str flag, const char *value,
                     const char **reason)
{
    const struct {
        const char *flag;
        char *path;
        const char *lacks; /* why this build cannot take it; NULL: it can */
    } files[] = {
        {"--tls-ca", options->ca,
         BUILT_IN(CONFIG_TLS_CA) ? NULL : "this build asks no CAs (TLS_CA)"},
        {"--tls-cert", options->cert,
         BUILT_IN(CONFIG_TLS_CLIENT_CERT) ? NULL
                                          : "this build shows no certificate (TLS_CLIENT_CERT)"},
        {"--tls-key", options->key,
         BUILT_IN(CONFIG_TLS_CLIENT_CERT) ? NULL
                                          : "this build shows no certificate (TLS_CLIENT_CERT)"},
        {"--tls-crl", options->crl,
         BUILT_IN(CONFIG_TLS_CRL) ? NULL : "this build reads no CRLs (TLS_CRL)"},
    };

    if (!TLS_IS_BUILT) {
        *reason = "this build has no TLS";
        return false;
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (!str_is(flag, files[i].flag))
            continue;
        *reason = files[i].lacks;
        return files[i].lacks == NULL && take_path(files[i].path, value, reason);
    }
    if (str_is(flag, "--tls-pin"))
        return take_pins(options, str_of(value), reason);
    if (str_is(flag, "--tls-min"))
        return take_version(options, value, reason);
    *reason = "no TLS flag has this name";
    return false;
}

bool tls_options_are_good(const struct tls_options *options, const char **reason)
{
    *reason = "--tls-cert needs --tls-key, and the other way round";
    return (options->cert[0] == '\0') == (options->key[0] == '\0');
}
