/* The journal's reader on arbitrary segment files: it never trips, refuses without touching a byte, and what it accepts can be
 * appended to, read by a cursor and opened again.  The check of the chain never trips over them either, touches nothing,
 * and agrees with the reader about where they end.
 *
 * The first byte of the input says whether checksums are put right first (else hardly anything gets behind them); the
 * rest is the text of up to three segments, parted by the byte 1. */
#include "journal/journal.h"
#include "journal/record.h"
#include "journal/segment.h"
#include "journal/verify.h"
#include "port.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENTS 3
#define FILE_MAX 65536

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[64];
static struct journal journal;

struct replayed {
    uint64_t records, last_seq;
};

static bool remove_each(void *context, const char *name)
{
    char path[400];
    (void)context;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    (void)port_unlink(path);
    return true;
}

static void empty_directory(void)
{
    MUST(port_list(directory, remove_each, NULL) == OK);
}

static void remove_directory(void)
{
    empty_directory();
    (void)port_remove_directory(directory);
}

/* In memory where the system has such a place: each input costs several syncs. */
static void make_directory(void)
{
    static const char *const places[] = {"/dev/shm/journal-XXXXXX", "/tmp/journal-XXXXXX"};
    for (size_t i = 0; i < 2; i++) {
        strcpy(directory, places[i]);
        if (mkdtemp(directory) != NULL) {
            (void)atexit(remove_directory);
            return;
        }
    }
    perror("no directory for the journal");
    abort();
}

static void file_path(uint32_t segment, char path[400])
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(segment, name);
    snprintf(path, 400, "%s/%s", directory, name);
}

static void seal_lines(char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t length = str_find(str_range(text + at, n - at), '\n') + 1;
        if (at + length > n)
            return;
        if (length > RECORD_COLUMN + 1)
            record_seal(text + at, length);
        at += length;
    }
}

static void write_segments(struct str input, bool seal)
{
    static char text[FILE_MAX];
    struct str part, rest = input;
    for (uint32_t segment = 1; segment <= SEGMENTS; segment++) {
        char path[400];
        size_t put;
        int fd;
        bool more = str_cut(rest, 1, &part, &rest);
        size_t n = part.n < sizeof text ? part.n : sizeof text;
        if (n > 0)
            memcpy(text, part.p, n);
        if (seal)
            seal_lines(text, n);
        file_path(segment, path);
        MUST(port_open(path, PORT_TRUNCATE, &fd) == OK);
        MUST(port_write_at(fd, str_range(text, n), 0, &put) == OK);
        port_close(fd);
        if (!more)
            return;
    }
}

/* All bytes of all segments, with their lengths. */
static size_t snapshot(char *to, size_t size)
{
    size_t at = 0;
    for (uint32_t segment = 1; segment <= SEGMENTS; segment++) {
        char path[400];
        size_t got = 0;
        file_path(segment, path);
        MUST(at + sizeof got <= size);
        enum err err = port_read_file(path, to + at + sizeof got, size - at - sizeof got, &got);
        MUST(err == OK || err == ERR_NOT_FOUND);
        memcpy(to + at, &got, sizeof got);
        at += sizeof got + got;
    }
    return at;
}

static enum err on_record(void *context, const struct journal_record *record)
{
    struct replayed *replayed = context;
    MUST(record->event.n > 0 || record->memo.n > 0);
    MUST((record->event.n > 0) == (record->seq > 0));
    MUST(record->seq == 0 || replayed->last_seq == 0 || record->seq == replayed->last_seq + 1);
    MUST(record->place.segment >= 1 && record->place.segment <= SEGMENTS);
    if (record->seq > 0)
        replayed->last_seq = record->seq;
    replayed->records++;
    return OK;
}

static enum err open_journal(struct replayed *replayed, struct journal_report *report)
{
    *replayed = (struct replayed){0};
    return journal_open(&journal, directory, "d-fuzz", 1, on_record, replayed, report);
}

static void append_one(void)
{
    struct journal_event event = {.type = "step.log", .run_id = "r-1", .n = 1, .time_ms = 0};
    struct json_writer *w;
    MUST(journal_begin(&journal, &event, &w) == OK);
    json_put_text(w, "message", "appended");
    MUST(journal_end(&journal, false, NULL, NULL) == OK);
    MUST(journal_commit(&journal, 0) == OK);
}

static void read_all(void)
{
    static char event[LIMIT_RECORD];
    struct journal_cursor cursor = journal_cursor_after(&journal, journal_first_seq(&journal) - 1);
    uint64_t wanted = journal_first_seq(&journal), seq;
    for (;;) {
        struct out out = OUT_ON(event);
        enum err err = journal_next(&journal, &cursor, &out, &seq, NULL);
        if (err == ERR_END)
            break;
        MUST(err == OK && seq == wanted && out.n > 0);
        wanted++;
    }
    MUST(wanted == journal_last_seq(&journal) + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char before[SEGMENTS * (FILE_MAX + sizeof(size_t))], after[sizeof before];
    struct replayed first, second;
    struct journal_report report;
    struct verify_report verified;
    if (size < 1)
        return 0;
    if (directory[0] == '\0')
        make_directory();
    empty_directory();
    write_segments(str_range((const char *)data + 1, size - 1), (data[0] & 1) != 0);
    size_t n = snapshot(before, sizeof before);
    enum err verdict = verify_journal(&journal, directory, NULL, &verified);
    MUST(snapshot(after, sizeof after) == n && memcmp(before, after, n) == 0);
    enum err err = open_journal(&first, &report);
    if (err == ERR_DAMAGED || err == ERR_UNSUPPORTED) {
        MUST(report.text[0] != '\0');
        MUST(snapshot(after, sizeof after) == n && memcmp(before, after, n) == 0);
        return 0;
    }
    MUST(err == OK);
    if (verdict == OK && verified.faults == 0 && verified.records > 0)
        MUST(verified.last_seq == first.last_seq);
    append_one();
    read_all();
    journal_close(&journal);
    MUST(open_journal(&second, &report) == OK);
    MUST(report.cut_bytes == 0);
    MUST(second.records == first.records + 1);
    journal_close(&journal);
    MUST(verify_journal(&journal, directory, NULL, &verified) == OK);
    MUST(verified.head.seq == second.last_seq && verified.is_chained == CHAIN_BUILT_IN);
    return 0;
}
