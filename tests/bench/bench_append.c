/* What a commit of the journal costs beside the floor under it: one write and one fdatasync of as many bytes to a file.
 *
 *     bench_append [FOLDER [COMMITS]]
 *
 * FOLDER should be on the disk that matters; without one it is $TMPDIR or /tmp. */
#include "base/crc32c.h"
#include "journal/journal.h"
#include "port.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT 200 /* bytes of the message in a record: a line of log */
#define FILE_BYTES (16 * 1024 * 1024)

static struct journal journal;
static char directory[512];
static char text[TEXT + 1];
static char bytes[256 * 1024];
static uint64_t events;

static void must(enum err err, const char *what)
{
    if (err == OK)
        return;
    fprintf(stderr, "%s: %s (%s)\n", what, err_text(err), port_last_error());
    exit(1);
}

static bool remove_each(void *context, const char *name)
{
    char path[1024];
    (void)context;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    (void)port_unlink(path);
    return true;
}

static void empty_directory(void)
{
    must(port_list(directory, remove_each, NULL), "list");
}

static enum err on_record(void *context, const struct journal_record *record)
{
    (void)context;
    events += record->seq != 0;
    return OK;
}

static void open_journal(void)
{
    struct journal_report report;
    events = 0;
    must(journal_open(&journal, directory, "d-bench", LIMIT_JOURNAL, on_record, NULL, &report),
         report.text);
}

static void append(void)
{
    struct journal_event event = {.type = "step.log",
                                  .run_id = "r-01j00000000000000000000000",
                                  .n = journal.next_seq,
                                  .step_id = "fetch",
                                  .attempt = 1,
                                  .time_ms = 1769860800123};
    struct json_writer *w;
    must(journal_begin(&journal, &event, &w), "begin");
    json_put_text(w, "stream", "log");
    json_put_text(w, "message", text);
    must(journal_end(&journal, false, NULL, NULL), "end");
}

enum floor { GROWING, RESERVED, ZEROED };

/* Microseconds for a write and a sync. */
static double floor_us(enum floor how, size_t size, unsigned commits)
{
    char path[600];
    size_t put;
    int64_t at = 0;
    int fd;
    snprintf(path, sizeof path, "%s/floor", directory);
    must(port_open(path, PORT_CREATE_NEW, &fd), "open");
    if (how == RESERVED)
        (void)port_preallocate(fd, FILE_BYTES);
    for (int64_t done = 0; how == ZEROED && done < FILE_BYTES; done += (int64_t)put)
        must(port_write_at(fd, str_range(bytes, sizeof bytes), done, &put), "write");
    must(port_sync(fd), "sync");
    must(port_sync_directory(directory), "sync");
    int64_t start = port_monotonic_us();
    for (unsigned i = 0; i < commits; i++, at += (int64_t)size) {
        must(port_write_at(fd, str_range(bytes, size), at % (FILE_BYTES / 2), &put), "write");
        must(port_sync(fd), "sync");
    }
    double us = (double)(port_monotonic_us() - start) / commits;
    port_close(fd);
    must(port_unlink(path), "unlink");
    return us;
}

static void bench_commits(unsigned records, unsigned commits)
{
    empty_directory();
    open_journal();
    uint64_t written = journal.bytes_written;
    int64_t start = port_monotonic_us();
    for (unsigned i = 0; i < commits; i++) {
        for (unsigned k = 0; k < records; k++)
            append();
        must(journal_commit(&journal, 0), "commit");
        if (journal_bytes(&journal) > LIMIT_JOURNAL / 2)
            must(journal_forget(&journal, journal.segments[journal.segment_count - 1].number),
                 "forget");
    }
    double us = (double)(port_monotonic_us() - start) / commits;
    size_t size = (size_t)((journal.bytes_written - written) / commits);
    journal_close(&journal);
    empty_directory();
    printf(
        "%4u records, %6zu bytes a commit: journal %7.1f us, %8.0f events/s; floor: growing %7.1f us, "
        "reserved %7.1f us, zeroed %7.1f us\n",
        records, size, us, records * 1e6 / us, floor_us(GROWING, size, commits),
        floor_us(RESERVED, size, commits), floor_us(ZEROED, size, commits));
}

/* Without the disk: what the processor does for a record. */
static void bench_reading(void)
{
    struct journal_cursor cursor;
    static char event[LIMIT_RECORD];
    const unsigned count = 100000;
    empty_directory();
    open_journal();
    int64_t start = port_monotonic_us();
    for (unsigned i = 0; i < count; i++)
        append();
    double us = (double)(port_monotonic_us() - start);
    must(journal_commit(&journal, 0), "commit");
    double size = (double)journal_bytes(&journal);
    printf("append without sync: %6.2f us an event, %6.1f MB/s\n", us / count, size / us);
    cursor = journal_cursor_after(&journal, 0);
    start = port_monotonic_us();
    for (unsigned i = 0; i < count; i++) {
        struct out out = OUT_ON(event);
        must(journal_next(&journal, &cursor, &out, NULL, NULL), "next");
    }
    us = (double)(port_monotonic_us() - start);
    printf("cursor:              %6.2f us an event, %6.1f MB/s\n", us / count, size / us);
    start = port_monotonic_us();
    journal_close(&journal);
    open_journal();
    us = (double)(port_monotonic_us() - start);
    printf("replay:              %6.2f us an event, %6.1f MB/s\n", us / count, size / us);
    if (events != count)
        must(ERR_DAMAGED, "replay");
    start = port_monotonic_us();
    uint32_t crc = 0;
    for (int i = 0; i < 100; i++)
        crc = crc32c(crc, str_range(bytes, sizeof bytes));
    us = (double)(port_monotonic_us() - start);
    printf("checksum alone:      %6.1f MB/s (%08x)\n", 100.0 * sizeof bytes / us, (unsigned)crc);
    journal_close(&journal);
    empty_directory();
}

int main(int argc, char **argv)
{
    const char *base = argc > 1 ? argv[1] : port_environment("TMPDIR");
    unsigned commits = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 500;
    static const unsigned records[] = {1, 4, 16, 64};
    snprintf(directory, sizeof directory, "%s/bench-append-XXXXXX", base == NULL ? "/tmp" : base);
    if (mkdtemp(directory) == NULL || commits == 0) {
        fprintf(stderr, "usage: bench_append [FOLDER [COMMITS]]\n");
        return 2;
    }
    memset(text, 'm', TEXT);
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++)
        bench_commits(records[i], commits);
    bench_reading();
    return port_remove_directory(directory) == OK ? 0 : 1;
}
