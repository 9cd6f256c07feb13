/* The floor under durable events: what the same bytes cost in one small process that does only what cannot be left out.
 *
 *     floor MODE RUNS LOGS CHATTY FILE SYNC_MS GATE
 *
 * RUNS times `CHATTY --alone LOGS GATE` write lines into pipes, from the moment when all have been started.  A select() loop reads each pipe that is ready once a turn (at most 16 KiB), appends to
 * one file, syncs it, and sends what is synced to a subscriber behind a Unix socket, which reads to the end.  MODE says what happens in between:
 *
 *     bytes    nothing: line feeds are counted, the bytes are appended and sent as they are
 *     events   each line is checked to be JSON in UTF-8 (a table of bytes and states, one look-up a byte), gets a seq and a time (put into
 *              words once a turn), and is appended as a record with a CRC32C; after the sync the records are read back from the file,
 *              and each event is sent with an envelope around it
 *     chain    the same, and each record carries the SHA-256 of the one before
 *
 * One append a turn.  SYNC_MS 0: one sync in every turn that has read something; else lines may wait that long for company, as logs may in
 * the journal, and at the end.  It knows no runs, no limits, no secrets, no restart; of the daemon's code it uses CRC32C and
 * SHA-256 alone.  Prints "wall_us cpu_us lines syncs turns"; the time of the processor is this process's alone, wall ends when the subscriber has
 * got everything. */
#define _DEFAULT_SOURCE
#include "bench.h"

#include "base/crc32c.h"
#include "base/hash.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/select.h>
#include <sys/wait.h>

#define CHUNK 16384
#define LINE_MAX_BYTES 8192
#define RUNS_MAX 256
#define DEPTH_MAX 64

struct source {
    int fd;
    size_t held; /* bytes of a line whose end has not come */
    char bytes[LINE_MAX_BYTES + CHUNK];
};

static struct source sources[RUNS_MAX];
static char records[RUNS_MAX * (CHUNK * 4)], back[65536], message[4 * 65536];
static size_t record_bytes, message_bytes;
static unsigned long lines, syncs, turns, seq;
static char stamp[64];
static enum { BYTES, EVENTS, CHAIN } mode;
static unsigned char chain[32];

/* --- JSON: next[state][byte] ------------------------------------------------------------------------------------------- */

enum {
    BAD,
    VALUE,
    ELEMENT,
    MEMBER,
    KEY,
    COLON,
    AFTER,
    IN_STRING,
    IN_KEY,
    ESCAPE,
    HEX1,
    HEX2,
    HEX3,
    HEX4,
    UTF1,
    UTF2,
    UTF3,
    UTF2_E0,
    UTF2_ED,
    UTF3_F0,
    UTF3_F4,
    MINUS,
    ZERO,
    DIGITS,
    POINT,
    FRACTION,
    EXPONENT,
    SIGN,
    POWER,
    T1,
    T2,
    T3,
    F1,
    F2,
    F3,
    F4,
    N1,
    N2,
    N3,
    STATES,
    OPEN_OBJECT = STATES,
    OPEN_ARRAY,
    CLOSE_OBJECT,
    CLOSE_ARRAY,
    COMMA,
    QUOTE,
    TO_STRING /* back from an escape or a character of several bytes */
};
static unsigned char next[STATES][256];

static void put(int state, int first, int last, int to)
{
    for (int byte = first; byte <= last; byte++)
        next[state][byte] = (unsigned char)to;
}

static void put_each(int state, const char *bytes, int to)
{
    for (; *bytes != '\0'; bytes++)
        next[state][(unsigned char)*bytes] = (unsigned char)to;
}

static void make_table(void)
{
    static const int values[] = {VALUE, ELEMENT}, ends[] = {AFTER, ZERO, DIGITS, FRACTION, POWER};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        put_each(values[i], " \t\r\n", values[i]);
        put_each(values[i], "{", OPEN_OBJECT);
        put_each(values[i], "[", OPEN_ARRAY);
        put_each(values[i], "\"", IN_STRING);
        put_each(values[i], "-", MINUS);
        put_each(values[i], "0", ZERO);
        put(values[i], '1', '9', DIGITS);
        put_each(values[i], "t", T1);
        put_each(values[i], "f", F1);
        put_each(values[i], "n", N1);
    }
    put_each(ELEMENT, "]", CLOSE_ARRAY);
    put_each(MEMBER, " \t\r\n", MEMBER);
    put_each(MEMBER, "\"", IN_KEY);
    put_each(MEMBER, "}", CLOSE_OBJECT);
    put_each(KEY, " \t\r\n", KEY);
    put_each(KEY, "\"", IN_KEY);
    put_each(COLON, " \t\r\n", COLON);
    put_each(COLON, ":", VALUE);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        put_each(ends[i], " \t\r\n", AFTER);
        put_each(ends[i], ",", COMMA);
        put_each(ends[i], "}", CLOSE_OBJECT);
        put_each(ends[i], "]", CLOSE_ARRAY);
    }
    for (int state = IN_STRING; state <= IN_KEY; state++) {
        put(state, 0x20, 0x7f, state);
        put_each(state, "\"", QUOTE);
        put_each(state, "\\", ESCAPE);
        put(state, 0xc2, 0xdf, UTF1);
        put(state, 0xe1, 0xef, UTF2);
        put(state, 0xe0, 0xe0, UTF2_E0);
        put(state, 0xed, 0xed, UTF2_ED);
        put(state, 0xf1, 0xf3, UTF3);
        put(state, 0xf0, 0xf0, UTF3_F0);
        put(state, 0xf4, 0xf4, UTF3_F4);
    }
    put_each(ESCAPE, "\"\\/bfnrt", TO_STRING);
    put_each(ESCAPE, "u", HEX1);
    for (int state = HEX1; state <= HEX4; state++)
        put_each(state, "0123456789abcdefABCDEF", state == HEX4 ? TO_STRING : state + 1);
    put(UTF1, 0x80, 0xbf, TO_STRING);
    put(UTF2, 0x80, 0xbf, UTF1);
    put(UTF3, 0x80, 0xbf, UTF2);
    put(UTF2_E0, 0xa0, 0xbf, UTF1);
    put(UTF2_ED, 0x80, 0x9f, UTF1);
    put(UTF3_F0, 0x90, 0xbf, UTF2);
    put(UTF3_F4, 0x80, 0x8f, UTF2);
    put_each(MINUS, "0", ZERO);
    put(MINUS, '1', '9', DIGITS);
    put(DIGITS, '0', '9', DIGITS);
    for (int state = ZERO; state <= DIGITS; state++) {
        put_each(state, ".", POINT);
        put_each(state, "eE", EXPONENT);
    }
    put(POINT, '0', '9', FRACTION);
    put(FRACTION, '0', '9', FRACTION);
    put_each(FRACTION, "eE", EXPONENT);
    put_each(EXPONENT, "+-", SIGN);
    for (int state = EXPONENT; state <= POWER; state++)
        put(state, '0', '9', POWER);
    put_each(T1, "r", T2);
    put_each(T2, "u", T3);
    put_each(T3, "e", AFTER);
    put_each(F1, "a", F2);
    put_each(F2, "l", F3);
    put_each(F3, "s", F4);
    put_each(F4, "e", AFTER);
    put_each(N1, "u", N2);
    put_each(N2, "l", N3);
    put_each(N3, "l", AFTER);
}

static bool is_json(const char *text, size_t n)
{
    bool objects[DEPTH_MAX + 1];
    int depth = 0, state = VALUE, string = IN_STRING;
    for (size_t i = 0; i < n; i++) {
        int to = next[state][(unsigned char)text[i]];
        if (to < STATES) {
            if (to == IN_STRING || to == IN_KEY)
                string = to;
            else if (to == BAD)
                return false;
            state = to;
            continue;
        }
        switch (to) {
        case OPEN_OBJECT:
        case OPEN_ARRAY:
            if (depth == DEPTH_MAX)
                return false;
            objects[++depth] = to == OPEN_OBJECT;
            state = to == OPEN_OBJECT ? MEMBER : ELEMENT;
            break;
        case CLOSE_OBJECT:
        case CLOSE_ARRAY:
            if (depth == 0 || objects[depth--] != (to == CLOSE_OBJECT))
                return false;
            state = AFTER;
            break;
        case COMMA:
            if (depth == 0)
                return false;
            state = objects[depth] ? KEY : VALUE;
            break;
        case QUOTE:
            state = string == IN_KEY ? COLON : AFTER;
            break;
        default:
            state = string;
            break;
        }
    }
    return depth == 0 && (state == AFTER || state == ZERO || state == DIGITS || state == FRACTION ||
                          state == POWER);
}

/* --- records ------------------------------------------------------------------------------------------------------------ */

static char *add(char *to, const void *bytes, size_t n)
{
    memcpy(to, bytes, n);
    return to + n;
}

#define ADD(to, literal) add(to, literal, sizeof(literal) - 1)

static char *add_number(char *to, unsigned long value)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    return add(to, digits + at, sizeof digits - at);
}

static char *add_hex(char *to, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        *to++ = "0123456789abcdef"[bytes[i] >> 4];
        *to++ = "0123456789abcdef"[bytes[i] & 15];
    }
    return to;
}

/* CRC32C {"batch":B,"prev":"…","event":{"seq":N,"time":"…","line":LINE}} */
#define EVENT_MARK "\"event\":"

static void append_event(const char *line, size_t n)
{
    char *start = records + record_bytes, *to = ADD(start, "00000000 {\"batch\":");
    if (!is_json(line, n)) {
        fprintf(stderr, "floor: no JSON: %.*s\n", (int)n, line);
        exit(1);
    }
    to = add_number(to, syncs + 1);
    if (mode == CHAIN) {
        to = ADD(to, ",\"prev\":\"");
        to = add_hex(to, chain, sizeof chain);
        *to++ = '"';
    }
    to = ADD(to, "," EVENT_MARK "{\"seq\":");
    to = add_number(to, ++seq);
    to = add(to, stamp, strlen(stamp));
    to = add(to, line, n);
    to = ADD(to, "}}");
    uint32_t sum = crc32c(0, str_range(start + 9, (size_t)(to - start - 9)));
    unsigned char bytes[4] = {(unsigned char)(sum >> 24), (unsigned char)(sum >> 16),
                              (unsigned char)(sum >> 8), (unsigned char)sum};
    add_hex(start, bytes, sizeof bytes);
    if (mode == CHAIN)
        sha256_of(str_range(start, (size_t)(to - start)), chain);
    *to++ = '\n';
    record_bytes += (size_t)(to - start);
}

static void note_time(void)
{
    struct timespec now;
    struct tm parts;
    char words[24];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(words, sizeof words, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(stamp, sizeof stamp, ",\"time\":\"%s.%03ldZ\",\"line\":", words,
             now.tv_nsec / 1000000);
}

/* What a pipe brought, line by line. */
static void take(struct source *source, size_t got)
{
    char *at = source->bytes, *end = source->bytes + source->held + got, *feed;
    while ((feed = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        if (mode != BYTES)
            append_event(at, (size_t)(feed - at));
        lines++;
        at = feed + 1;
    }
    if (mode == BYTES) {
        memcpy(records + record_bytes, source->bytes, got);
        record_bytes += got;
        return;
    }
    source->held = (size_t)(end - at);
    if (source->held > LINE_MAX_BYTES)
        die("a line too long");
    memmove(source->bytes, at, source->held);
}

/* --- the subscriber ------------------------------------------------------------------------------------------------------ */

static void send_events(int to, const char *bytes, size_t n)
{
    message_bytes = 0;
    for (const char *at = bytes, *feed; at < bytes + n; at = feed + 1) {
        feed = memchr(at, '\n', (size_t)(bytes + n - at));
        const char *event = strstr(at, EVENT_MARK) + sizeof EVENT_MARK - 1;
        char *end = message + message_bytes;
        end = ADD(end, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"event\":");
        end = add(end, event, (size_t)(feed - 1 - event));
        end = ADD(end, "}}\n");
        message_bytes = (size_t)(end - message);
    }
    write_all(to, message, message_bytes);
}

/* In whole lines, as many as fit. */
static void send_synced(int file, int to, off_t *sent, off_t written)
{
    while (*sent < written) {
        size_t n = sizeof back - 1;
        if (written - *sent < (off_t)n)
            n = (size_t)(written - *sent);
        ssize_t got = pread(file, back, n, *sent);
        if (got <= 0)
            die("read back");
        if (mode == BYTES) {
            write_all(to, back, (size_t)got);
        } else {
            while (back[got - 1] != '\n')
                got--;
            back[got] = '\0';
            send_events(to, back, (size_t)got);
        }
        *sent += got;
    }
}

static pid_t start(const char *chatty, const char *logs, const char *gate, int *out)
{
    int fds[2];
    if (pipe(fds) != 0)
        die("pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        dup2(fds[1], 1);
        close(fds[0]);
        close(fds[1]);
        execl(chatty, chatty, "--alone", logs, gate, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    *out = fds[0];
    return pid;
}

/* The other side of the socket: reads to the end, then says so by ending. */
static pid_t start_sink(int *to)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        die("socketpair");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        close(fds[0]);
        while (read(fds[1], back, sizeof back) > 0)
            ;
        _exit(0);
    }
    close(fds[1]);
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    *to = fds[0];
    return pid;
}

int main(int argc, char **argv)
{
    static const char *const modes[] = {"bytes", "events", "chain"};
    off_t written = 0, sent = 0;
    int to, runs = argc == 8 ? atoi(argv[2]) : 0, known = 0;

    while (known < 3 && argc == 8 && strcmp(argv[1], modes[known]) != 0)
        known++;
    if (runs < 1 || runs > RUNS_MAX || known == 3) {
        fprintf(stderr, "usage: floor bytes|events|chain RUNS LOGS CHATTY FILE SYNC_MS GATE\n");
        return 2;
    }
    mode = (known == 0) ? BYTES : known == 1 ? EVENTS : CHAIN;
    make_table();
    int open_pipes = runs;
    double sync_us = atof(argv[6]) * 1e3, wall, due = 0;
    int file = open(argv[5], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0)
        die(argv[5]);
    pid_t sink = start_sink(&to);
    for (int i = 0; i < runs; i++)
        (void)start(argv[4], argv[3], argv[7], &sources[i].fd);
    open_gate(argv[7]);
    wall = now_us();
    double before = cpu_us();

    while (open_pipes > 0) {
        fd_set readable;
        int highest = -1;
        FD_ZERO(&readable);
        for (int i = 0; i < runs; i++)
            if (sources[i].fd >= 0) {
                FD_SET(sources[i].fd, &readable);
                highest = sources[i].fd > highest ? sources[i].fd : highest;
            }
        if (select(highest + 1, &readable, NULL, NULL, NULL) < 0)
            die("select");
        turns++;
        note_time();
        record_bytes = 0;
        for (int i = 0; i < runs; i++) {
            struct source *source = &sources[i];
            if (source->fd < 0 || !FD_ISSET(source->fd, &readable))
                continue;
            ssize_t got = read(source->fd, source->bytes + source->held, CHUNK);
            if (got > 0) {
                take(source, (size_t)got);
            } else {
                close(source->fd);
                source->fd = -1;
                open_pipes--;
            }
        }
        if (record_bytes > 0 &&
            pwrite(file, records, record_bytes, written) != (ssize_t)record_bytes)
            die("append");
        written += (off_t)record_bytes;
        if (due == 0 && written > sent)
            due = now_us() + sync_us;
        if (written > sent && (open_pipes == 0 || now_us() >= due)) {
            if (fdatasync(file) != 0)
                die("fdatasync");
            syncs++;
            due = 0;
            send_synced(file, to, &sent, written);
        }
    }
    double cpu = cpu_us() - before;
    close(to);
    waitpid(sink, NULL, 0);
    wall = now_us() - wall;
    while (wait(NULL) > 0)
        ;
    unlink(argv[5]);
    printf("%.0f %.0f %lu %lu %lu\n", wall, cpu, lines, syncs, turns);
    return 0;
}
