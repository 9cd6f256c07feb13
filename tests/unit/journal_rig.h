/* A journal in a directory of its own, for the tests of the journal: what was replayed is written down, files can be read
 * and changed behind its back.  Failures of the scaffolding itself end the test. */
#ifndef TESTS_UNIT_JOURNAL_RIG_H
#define TESTS_UNIT_JOURNAL_RIG_H

#include "journal/journal.h"

/* A segment of any build, and what several of them say. */
#define RIG_FILE (24 * LIMIT_RECORD > 4 * 1024 * 1024 ? 24 * LIMIT_RECORD : 4 * 1024 * 1024)

struct rig {
    struct journal journal;
    struct journal_report report;
    char directory[256];
    bool open;
    /* what the last replay gave */
    size_t replayed, memos;
    uint64_t last_seq;
    struct journal_place last_place;
    enum err
        refuse; /* what on_record answers from the record `refuse_at` (1: the first) on; OK: never */
    size_t refuse_at;
    char log[RIG_FILE]; /* "seq event memo" lines */
    size_t log_length;
    int64_t limit;
    int64_t now_ms;
    /* a segment file, for looking at and changing */
    char file[RIG_FILE];
    size_t file_length;
};

extern struct rig rig;

int rig_setup(void **state);
int rig_teardown(void **state);
/* journal_open(); a journal that is open is closed before, without a commit: as if killed. */
enum err rig_open(void);
void rig_close(void);
/* Appends an event of a run with data {"text":…}; its seq. */
uint64_t rig_append(const char *text, bool lazy);
/* Appends an urgent event whose text has n bytes. */
uint64_t rig_append_long(size_t n);
void rig_commit(void);
/* The segment's file into rig.file, or the other way. */
void rig_load(uint32_t segment);
void rig_store(uint32_t segment);
bool rig_exists(uint32_t segment);
void rig_remove(uint32_t segment);
/* The offset of line `index` in rig.file, its length with the line feed in *length. */
size_t rig_line(size_t index, size_t *length);
size_t rig_lines(void);
/* Cuts a line out of rig.file. */
void rig_remove_line(size_t index);
/* Computes the checksum of a line in rig.file anew. */
void rig_reseal(size_t index);
/* Replaces text in a line of rig.file by text of the same length. */
void rig_replace(size_t index, const char *from, const char *to);
/* All files of the directory into one hash: "nothing touched". */
uint64_t rig_hash(void);

#endif
