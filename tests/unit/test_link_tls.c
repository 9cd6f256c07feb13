/* The pure parts of TLS: flags, names in certificates, name constraints, PEM, dates.  What a connection does is shown against
 * servers that are not ours, in tests/e2e/test_tls.py. */
#include "link/tls_engine.h"
#include "link/tls_options.h"
#include "port.h"

#include <mbedtls/platform_util.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* --- DER ------------------------------------------------------------------------------------------------------------ */

/* Small builder: objects of at most 127 bytes of contents but for the outermost. */
struct der {
    char bytes[1024];
    size_t n;
};

static struct str wrap(struct der *der, unsigned char tag, struct str contents)
{
    char head[4] = {(char)tag};
    size_t head_n = 2;

    if (contents.n < 128) {
        head[1] = (char)contents.n;
    } else {
        head[1] = (char)0x82;
        head[2] = (char)(contents.n >> 8);
        head[3] = (char)contents.n;
        head_n = 4;
    }
    memmove(der->bytes + head_n, contents.p, contents.n);
    memcpy(der->bytes, head, head_n);
    der->n = head_n + contents.n;
    return str_range(der->bytes, der->n);
}

/* Extensions with one of them: OID (three bytes) and value. */
static struct str extensions_of(struct der *der, const char *oid, struct str value)
{
    static struct der inner;
    char bytes[1024] = {0x06, 0x03, oid[0], oid[1], oid[2]};
    struct str octets = wrap(&inner, 0x04, value);

    memcpy(bytes + 5, octets.p, octets.n);
    struct str extension = wrap(&inner, 0x30, str_range(bytes, 5 + octets.n));
    return wrap(der, 0x30, extension);
}

struct name {
    unsigned char tag;
    struct str value;
};
#define DNS(text)                                                                                  \
    {                                                                                              \
        0x82,                                                                                      \
        {                                                                                          \
            "" text, sizeof(text) - 1                                                              \
        }                                                                                          \
    }
#define IP(bytes)                                                                                  \
    {                                                                                              \
        0x87,                                                                                      \
        {                                                                                          \
            "" bytes, sizeof(bytes) - 1                                                            \
        }                                                                                          \
    }
#define MAIL(text)                                                                                 \
    {                                                                                              \
        0x81,                                                                                      \
        {                                                                                          \
            "" text, sizeof(text) - 1                                                              \
        }                                                                                          \
    }

static size_t append(char *to, size_t at, unsigned char tag, struct str value)
{
    to[at] = (char)tag;
    to[at + 1] = (char)value.n;
    memcpy(to + at + 2, value.p, value.n);
    return at + 2 + value.n;
}

static struct str san_of(struct der *der, const struct name *names, size_t count)
{
    char list[512];
    struct der sequence;
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        n = append(list, n, names[i].tag, names[i].value);
    return extensions_of(der, "\x55\x1D\x11", wrap(&sequence, 0x30, str_range(list, n)));
}

static size_t add_subtrees(char *to, size_t at, unsigned char tag, const struct name *names,
                           size_t count)
{
    char list[512];
    size_t n = 0;

    if (count == 0)
        return at;
    for (size_t i = 0; i < count; i++) {
        char base[128];
        size_t base_n = append(base, 0, names[i].tag, names[i].value);
        n = append(list, n, 0x30, str_range(base, base_n));
    }
    return append(to, at, tag, str_range(list, n));
}

static struct str constraints_of(struct der *der, const struct name *permitted, size_t permitted_n,
                                 const struct name *excluded, size_t excluded_n)
{
    char bytes[512];
    struct der sequence;
    size_t n = add_subtrees(bytes, 0, 0xA0, permitted, permitted_n);

    n = add_subtrees(bytes, n, 0xA1, excluded, excluded_n);
    return extensions_of(der, "\x55\x1D\x1E", wrap(&sequence, 0x30, str_range(bytes, n)));
}

/* --- whom a certificate is for -------------------------------------------------------------------------------------- */

static enum tls_name_verdict check(const struct name *names, size_t count, const char *host)
{
    struct tls_host read;
    struct der der;

    tls_host_read(&read, str_of(host));
    return tls_name_check(san_of(&der, names, count), &read);
}

static void tls_names_match_by_the_rules(void **state)
{
    static const struct {
        struct name name;
        const char *host;
        enum tls_name_verdict verdict;
    } cases[] = {
        {DNS("gw.example"), "gw.example", TLS_NAME_GOOD},
        {DNS("GW.example"), "gw.EXAMPLE.", TLS_NAME_GOOD},
        {DNS("gw.example."), "gw.example", TLS_NAME_GOOD},
        {DNS("gw.example"), "gw.example.org", TLS_NAME_OTHER},
        {DNS("gw.example"), "a.gw.example", TLS_NAME_OTHER},
        {DNS("gw.example\0.evil"), "gw.example", TLS_NAME_OTHER},
        {DNS("*.example"), "gw.example", TLS_NAME_GOOD},
        {DNS("*.example"), "example", TLS_NAME_OTHER},
        {DNS("*.example"), ".example", TLS_NAME_OTHER},
        {DNS("*.example"), "a.b.example", TLS_NAME_OTHER},
        {DNS("*"), "localhost", TLS_NAME_OTHER},
        {DNS("*."), "localhost.", TLS_NAME_OTHER},
        {DNS("g*.example"), "gw.example", TLS_NAME_OTHER},
        {DNS("gw.*"), "gw.example", TLS_NAME_OTHER},
        {DNS("*.0.0.1"), "127.0.0.1", TLS_NAME_OTHER},
        {DNS("127.0.0.1"), "127.0.0.1", TLS_NAME_OTHER},
        {DNS(""), "gw.example", TLS_NAME_OTHER},
        {IP("\x7F\0\0\1"), "127.0.0.1", TLS_NAME_GOOD},
        {IP("\x7F\0\0\1"), "127.0.0.2", TLS_NAME_OTHER},
        {IP("\x7F\0\0\1"), "localhost", TLS_NAME_OTHER},
        {IP("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"), "::1", TLS_NAME_GOOD},
        {IP("\xFE\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1"), "fe80::1%eth0", TLS_NAME_GOOD},
        {IP("\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\xC0\0\2\1"), "2001:db8::192.0.2.1", TLS_NAME_GOOD},
        {IP("\0\0\0\0\0\0\0\0\0\0\xFF\xFF\x7F\0\0\1"), "127.0.0.1", TLS_NAME_OTHER},
        {MAIL("gw.example"), "gw.example", TLS_NAME_MISSING},
    };
    struct tls_host host;
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (check(&cases[i].name, 1, cases[i].host) != cases[i].verdict)
            fail_msg("case %zu: %.*s for %s", i, STR_ARG(cases[i].name.value), cases[i].host);
    tls_host_read(&host, STR("gw.example"));
    assert_int_equal(tls_name_check(STR_NONE, &host), TLS_NAME_MISSING);
    assert_int_equal(tls_name_check(STR("\x30\x00"), &host), TLS_NAME_MISSING);
}

static void tls_addresses_are_read_strictly(void **state)
{
    static const char *const bad[] = {
        "1.2.3",    "1.2.3.4.5", "1.2.3.256", "1..2.3",        "01234.1.1.1",
        "1.2.3.4 ", ":",         "::1::",     "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
        "12345::",  ":::",       "g::",       "::1.2.3",       ""};
    struct tls_host host;
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tls_host_read(&host, str_of(bad[i]));
        if (host.address_n != 0)
            fail_msg("\"%s\" is no address", bad[i]);
    }
    tls_host_read(&host, STR("1:2:3:4:5:6:7:8"));
    assert_int_equal(host.address_n, 16);
    assert_int_equal(host.address[15], 8);
    tls_host_read(&host, STR("::"));
    assert_int_equal(host.address_n, 16);
}

static void tls_names_are_listed_for_people(void **state)
{
    static const struct name names[] = {DNS("a.example"), MAIL("x@y"), IP("\x7F\0\0\1"),
                                        DNS("bad\x1B[2Jname")};
    char text[200];
    struct out out = OUT_ON(text);
    struct der der;
    (void)state;

    tls_name_list(san_of(&der, names, 4), &out);
    assert_string_equal(out_cstr(&out), "a.example, 127.0.0.1, bad?[2Jname");
}

/* --- whom its issuers may vouch for ---------------------------------------------------------------------------------- */

static void tls_name_constraints_hold(void **state)
{
    static const struct {
        struct name permitted, excluded, name;
        bool allowed;
    } cases[] = {
        {DNS("zoo.example"), {0}, DNS("zoo.example"), true},
        {DNS("zoo.example"), {0}, DNS("a.b.ZOO.example"), true},
        {DNS("zoo.example"), {0}, DNS("*.zoo.example"), true},
        {DNS("zoo.example"), {0}, DNS("notzoo.example"), false},
        {DNS("zoo.example"), {0}, DNS("example"), false},
        {DNS("zoo.example"), {0}, DNS("*.example"), false},
        {DNS(".zoo.example"), {0}, DNS("a.zoo.example"), true},
        {DNS(".zoo.example"), {0}, DNS("zoo.example"), false},
        {DNS("zoo.example"), {0}, IP("\x0A\1\2\3"), true}, /* another kind is not limited */
        {DNS(""), {0}, DNS("anything.example"), true},
        {{0}, DNS(""), DNS("anything.example"), false},
        {{0}, DNS("zoo.example"), DNS("a.zoo.example"), false},
        {{0}, DNS("a.zoo.example"), DNS("zoo.example"), true},
        {{0}, DNS("a.zoo.example"), DNS("*.zoo.example"), false}, /* it would stand for that too */
        {DNS("zoo.example"), DNS("x.zoo.example"), DNS("y.zoo.example"), true},
        {DNS("zoo.example"), DNS("x.zoo.example"), DNS("y.x.zoo.example"), false},
        {IP("\x0A\0\0\0\xFF\0\0\0"), {0}, IP("\x0A\1\2\3"), true},
        {IP("\x0A\0\0\0\xFF\0\0\0"), {0}, IP("\x0B\1\2\3"), false},
        {IP("\x0A\0\0\0\xFF\0\0\0"), {0}, IP("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"), false},
        {{0}, IP("\x0A\0\0\0\xFF\0\0\0"), IP("\x0A\1\2\3"), false},
        {MAIL("example"), {0}, DNS("zoo.example"), false}, /* not checked: not allowed */
    };
    char why[200];
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct der issuer, subject;
        struct out out = OUT_ON(why);
        struct str constraints =
            constraints_of(&issuer, &cases[i].permitted, cases[i].permitted.tag != 0,
                           &cases[i].excluded, cases[i].excluded.tag != 0);
        if (tls_names_allowed(constraints, san_of(&subject, &cases[i].name, 1), &out) !=
            cases[i].allowed)
            fail_msg("case %zu: %s", i, out_cstr(&out));
        assert_int_equal(out.n == 0, cases[i].allowed);
    }
}

static void tls_broken_der_is_never_read_beyond(void **state)
{
    static const struct name names[] = {DNS("gw.example"), IP("\x7F\0\0\1")};
    struct tls_host host;
    struct der der, issuer;
    char why[200];
    (void)state;

    tls_host_read(&host, STR("other.example"));
    struct str whole = san_of(&der, names, 2);
    struct str limits = constraints_of(&issuer, names, 1, NULL, 0);
    for (size_t n = 0; n <= whole.n; n++)
        for (int flip = -1; flip < 8; flip++) {
            /* Heap of exactly that size: a sanitizer sees a byte too many. */
            char *copy = test_malloc(n + 1);
            memcpy(copy, whole.p, n);
            if (flip >= 0 && n > 0)
                copy[n - 1] = (char)(copy[n - 1] ^ (1 << flip));
            struct out out = OUT_ON(why);
            (void)tls_name_check(str_range(copy, n), &host);
            (void)tls_names_allowed(limits, str_range(copy, n), &out);
            (void)tls_names_allowed(str_range(copy, n), whole, &out);
            test_free(copy);
        }
}

/* --- files ------------------------------------------------------------------------------------------------------------ */

static char file_path[64];

static void write_file(const char *text, size_t n)
{
    FILE *file;
    snprintf(file_path, sizeof file_path, "/tmp/test-tls-%ld.pem", (long)port_pid());
    file = fopen(file_path, "wb");
    assert_non_null(file);
    fwrite(text, 1, n, file);
    fclose(file);
}

static void tls_file_streams_its_blocks(void **state)
{
    static const char text[] =
        "noise -----BEGIN\n"
        "-----BEGIN ONE-----\r\nAQID\r\nBAUG\r\n-----END ONE-----\r\n"
        "between\n"
        "-----BEGIN EMPTY-----\n-----END EMPTY-----\n"
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\n"
        "BwgJ\n-----END RSA PRIVATE KEY-----\n"
        "-----BEGIN LAST-----\n  MAMCAQU=\n-----END LAST-----";
    struct tls_file file;
    unsigned char bytes[8], raw[6];
    unsigned tag;
    size_t n, raw_n;
    (void)state;

    write_file(text, sizeof text - 1);
    assert_int_equal(tls_file_open(&file, file_path), OK);
    assert_int_equal(tls_file_next(&file), OK);
    assert_string_equal(file.label, "ONE");
    assert_int_equal(tls_file_get(&file, bytes, 6), OK);
    assert_memory_equal(bytes, "\1\2\3\4\5\6", 6);
    assert_int_equal(tls_file_get(&file, bytes, 1), ERR_SYNTAX);
    assert_int_equal(tls_file_again(&file), OK);
    assert_int_equal(tls_file_get(&file, bytes, 2), OK);
    assert_memory_equal(bytes, "\1\2", 2);
    assert_int_equal(tls_file_next(&file), OK);
    assert_string_equal(file.label, "EMPTY");
    assert_int_equal(tls_file_get(&file, bytes, 1), ERR_SYNTAX);
    assert_int_equal(tls_file_next(&file), OK);
    assert_true(file.encrypted);
    assert_int_equal(tls_file_get(&file, bytes, 3), OK);
    assert_memory_equal(bytes, "\7\10\11", 3);
    assert_int_equal(tls_file_next(&file), OK);
    assert_string_equal(file.label, "LAST");
    assert_false(file.encrypted);
    assert_int_equal(tls_file_head(&file, &tag, &n, raw, &raw_n), OK);
    assert_true(tag == 0x30 && n == 3 && raw_n == 2);
    assert_int_equal(tls_file_enter(&file, 0x02, &n), OK);
    assert_int_equal(tls_file_skip(&file, n), OK);
    assert_int_equal(tls_file_skip(&file, 1), ERR_SYNTAX);
    assert_int_equal(tls_file_next(&file), ERR_END);
    tls_file_close(&file);

    write_file("\x30\x03\x02\x01\x05", 5);
    assert_int_equal(tls_file_open(&file, file_path), OK);
    assert_int_equal(tls_file_next(&file), OK);
    assert_string_equal(file.label, "");
    assert_int_equal(tls_file_get(&file, bytes, 5), OK);
    assert_int_equal(tls_file_next(&file), ERR_END);
    tls_file_close(&file);
    assert_int_equal(port_unlink(file_path), OK);
    assert_int_equal(tls_file_open(&file, file_path), ERR_NOT_FOUND);
    assert_int_equal(tls_file_open(&file, "/tmp"), ERR_INVALID);
}

/* --- dates ------------------------------------------------------------------------------------------------------------- */

static void tls_calendar_goes_both_ways(void **state)
{
    static const struct {
        int64_t unix_s;
        int year, month, day;
    } days[] = {{0, 1970, 1, 1},           {951782400, 2000, 2, 29}, {1795132800, 2026, 11, 20},
                {4107542400, 2100, 3, 1},  {-86400, 1969, 12, 31},   {253402214400, 9999, 12, 31},
                {-2203891200, 1900, 3, 1}, {1709164800, 2024, 2, 29}};
    (void)state;

    for (size_t i = 0; i < sizeof days / sizeof days[0]; i++) {
        mbedtls_time_t seconds = (mbedtls_time_t)days[i].unix_s + 3723;
        mbedtls_x509_time time = {days[i].year, days[i].month, days[i].day, 1, 2, 3};
        struct tm read;
        assert_non_null(mbedtls_platform_gmtime_r(&seconds, &read));
        assert_int_equal(read.tm_year + 1900, days[i].year);
        assert_int_equal(read.tm_mon + 1, days[i].month);
        assert_int_equal(read.tm_mday, days[i].day);
        assert_true(read.tm_hour == 1 && read.tm_min == 2 && read.tm_sec == 3);
        assert_int_equal(tls_unix_time(&time), days[i].unix_s + 3723);
    }
}

/* --- flags --------------------------------------------------------------------------------------------------------------- */

static void tls_flags_are_read(void **state)
{
    struct tls_options options = {.pin_count = 0};
    const char *reason;
    (void)state;

    if (BUILT_IN(CONFIG_TLS_CA)) {
        assert_true(tls_option_take(&options, STR("--tls-ca"), "/etc/ca.pem", &reason));
        assert_string_equal(options.ca, "/etc/ca.pem");
    } else {
        assert_false(tls_option_take(&options, STR("--tls-ca"), "/etc/ca.pem", &reason));
        assert_string_equal(reason, "this build asks no CAs (TLS_CA)");
    }
    if (BUILT_IN(CONFIG_TLS_CLIENT_CERT)) {
        assert_true(tls_option_take(&options, STR("--tls-cert"), "c.pem", &reason));
        assert_true(options.cert[0] == '/' && strstr(options.cert, "/c.pem") != NULL);
        assert_false(tls_options_are_good(&options, &reason));
        assert_true(tls_option_take(&options, STR("--tls-key"), "c.key", &reason));
        assert_true(tls_options_are_good(&options, &reason));
    } else {
        assert_false(tls_option_take(&options, STR("--tls-cert"), "c.pem", &reason));
    }
    assert_true(tls_option_take(&options, STR("--tls-min"), "1.3", &reason));
    assert_true(options.only_1_3);
    assert_true(tls_option_take(&options, STR("--tls-pin"),
                                "sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", &reason));
    for (int i = 0; i < TLS_PIN; i++)
        assert_int_equal(options.pins[0][i], i);
    for (int i = 1; i < TLS_PINS; i++)
        assert_true(
            tls_option_take(&options, STR("--tls-pin"),
                            "sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", &reason));
    assert_false(tls_option_take(&options, STR("--tls-pin"),
                                 "sha256//AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", &reason));
    assert_false(tls_option_take(&options, STR("--tls-off"), "1", &reason));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_names_match_by_the_rules),
        cmocka_unit_test(tls_addresses_are_read_strictly),
        cmocka_unit_test(tls_names_are_listed_for_people),
        cmocka_unit_test(tls_name_constraints_hold),
        cmocka_unit_test(tls_broken_der_is_never_read_beyond),
        cmocka_unit_test(tls_file_streams_its_blocks),
        cmocka_unit_test(tls_calendar_goes_both_ways),
        cmocka_unit_test(tls_flags_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
