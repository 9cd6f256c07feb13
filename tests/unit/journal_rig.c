#include "journal_rig.h"

#include "base/crc32c.h"
#include "journal/record.h"
#include "journal/segment.h"
#include "port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct rig rig;

static bool remove_each(void *context, const char *name)
{
    char path[600];
    (void)context;
    snprintf(path, sizeof path, "%s/%s", rig.directory, name);
    (void)port_set_mode(path, 0600);
    (void)port_unlink(path);
    return true;
}

int rig_setup(void **state)
{
    const char *base = getenv("TMPDIR");
    (void)state;
    memset(&rig, 0, sizeof rig);
    snprintf(rig.directory, sizeof rig.directory, "%s/journal-XXXXXX",
             base != NULL && strlen(base) < 200 ? base : "/tmp");
    rig.limit = LIMIT_JOURNAL;
    return mkdtemp(rig.directory) == NULL ? -1 : 0;
}

int rig_teardown(void **state)
{
    (void)state;
    rig_close();
    (void)port_set_mode(rig.directory, 0700);
    (void)port_list(rig.directory, remove_each, NULL);
    return port_remove_directory(rig.directory) == OK ? 0 : -1;
}

static enum err on_record(void *context, const struct journal_record *record)
{
    (void)context;
    assert_true(record->event.n > 0 || record->memo.n > 0);
    assert_int_equal(record->seq != 0, record->event.n > 0);
    if (record->memo.n > 0)
        rig.memos++;
    if (record->seq != 0)
        rig.last_seq = record->seq;
    rig.last_place = record->place;
    struct out out = out_on(rig.log + rig.log_length, sizeof rig.log - rig.log_length);
    out_u64(&out, record->seq);
    out_byte(&out, ' ');
    out_str(&out, record->event);
    out_byte(&out, ' ');
    out_str(&out, record->memo);
    out_byte(&out, '\n');
    assert_false(out.overflow);
    rig.log_length += out.n;
    rig.replayed++;
    return rig.refuse != OK && rig.replayed >= rig.refuse_at ? rig.refuse : OK;
}

void rig_close(void)
{
    if (rig.open)
        journal_close(&rig.journal);
    rig.open = false;
}

enum err rig_open(void)
{
    rig_close();
    rig.replayed = rig.memos = rig.log_length = 0;
    rig.last_seq = 0;
    rig.log[0] = '\0';
    enum err err = journal_open(&rig.journal, rig.directory, "d-test", rig.limit, on_record, NULL,
                                &rig.report);
    rig.open = err == OK;
    return err;
}

uint64_t rig_append(const char *text, bool lazy)
{
    struct journal_event event = {
        .type = "step.log", .run_id = "r-1", .n = rig.journal.next_seq, .time_ms = 1769860800123};
    struct json_writer *w;
    uint64_t seq;
    assert_int_equal(journal_begin(&rig.journal, &event, &w), OK);
    json_put_text(w, "text", text);
    assert_int_equal(journal_end(&rig.journal, lazy, &seq, NULL), OK);
    return seq;
}

uint64_t rig_append_long(size_t n)
{
    static char text[LIMIT_RECORD];
    assert_true(n < sizeof text);
    memset(text, 'x', n);
    text[n] = '\0';
    return rig_append(text, false);
}

void rig_commit(void)
{
    assert_int_equal(journal_commit(&rig.journal, rig.now_ms), OK);
}

/* --- files ------------------------------------------------------------------------------------------------------- */

static void file_path(uint32_t segment, char path[400])
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(segment, name);
    snprintf(path, 400, "%s/%s", rig.directory, name);
}

void rig_load(uint32_t segment)
{
    char path[400];
    file_path(segment, path);
    assert_int_equal(port_read_file(path, rig.file, sizeof rig.file, &rig.file_length), OK);
    /* On a platform that can reserve only what a file has already, zeros follow. */
    while (rig.file_length > 0 && rig.file[rig.file_length - 1] == '\0')
        rig.file_length--;
}

void rig_store(uint32_t segment)
{
    char path[400];
    size_t put;
    int fd;
    file_path(segment, path);
    assert_int_equal(port_open(path, PORT_TRUNCATE, &fd), OK);
    assert_int_equal(port_write_at(fd, str_range(rig.file, rig.file_length), 0, &put), OK);
    port_close(fd);
}

void rig_remove(uint32_t segment)
{
    char path[400];
    file_path(segment, path);
    assert_int_equal(port_unlink(path), OK);
}

bool rig_exists(uint32_t segment)
{
    char path[400];
    struct port_stat stat;
    file_path(segment, path);
    return port_stat(path, &stat) == OK;
}

size_t rig_line(size_t index, size_t *length)
{
    size_t at = 0;
    for (;;) {
        struct str rest = str_from(str_range(rig.file, rig.file_length), at);
        size_t feed = str_find(rest, '\n');
        if (feed == rest.n)
            fail_msg("no line %zu", index);
        if (index-- == 0) {
            *length = feed + 1;
            return at;
        }
        at += feed + 1;
    }
}

size_t rig_lines(void)
{
    size_t lines = 0;
    for (size_t i = 0; i < rig.file_length; i++)
        lines += rig.file[i] == '\n';
    return lines;
}

void rig_remove_line(size_t index)
{
    size_t length, at = rig_line(index, &length);
    memmove(rig.file + at, rig.file + at + length, rig.file_length - at - length);
    rig.file_length -= length;
}

void rig_reseal(size_t index)
{
    size_t length, at = rig_line(index, &length);
    record_seal(rig.file + at, length);
}

void rig_replace(size_t index, const char *from, const char *to)
{
    size_t length, at = rig_line(index, &length), n = strlen(from);
    assert_int_equal(n, strlen(to));
    for (size_t i = at; i + n <= at + length; i++) {
        if (memcmp(rig.file + i, from, n) == 0) {
            memcpy(rig.file + i, to, n);
            return;
        }
    }
    fail_msg("line %zu has no %s", index, from);
}

static bool hash_each(void *context, const char *name)
{
    static char bytes[RIG_FILE];
    uint64_t *sum = context;
    char path[600];
    size_t got;
    snprintf(path, sizeof path, "%s/%s", rig.directory, name);
    assert_int_equal(port_read_file(path, bytes, sizeof bytes, &got), OK);
    *sum += crc32c(crc32c(0, str_of(name)), str_range(bytes, got)) + ((uint64_t)got << 32);
    return true;
}

uint64_t rig_hash(void)
{
    uint64_t sum = 0; /* of the files, in whatever order they come */
    assert_int_equal(port_list(rig.directory, hash_each, &sum), OK);
    return sum;
}
