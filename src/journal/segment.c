#include "journal/segment.h"

#include "base/assert.h"
#include "journal/record.h"
#include "journal/window.h"
#include "port.h"

#include <string.h>

#define DIGITS 10

void segment_name(uint32_t number, char name[SEGMENT_NAME_SIZE])
{
    static const char suffix[] = ".log";
    for (size_t i = DIGITS; i-- > 0; number /= 10)
        name[i] = (char)('0' + number % 10);
    memcpy(name + DIGITS, suffix, sizeof suffix);
}

void segment_path(const struct journal *journal, uint32_t number, char path[LIMIT_PATH])
{
    char name[SEGMENT_NAME_SIZE];
    struct out out = out_on(path, LIMIT_PATH);
    segment_name(number, name);
    out_text(&out, journal->directory);
    out_byte(&out, '/');
    out_str(&out, str_range(name, sizeof name));
    ASSERT(!out.overflow);
}

/* Whether a name is one that segment_name() makes. */
static bool is_segment(const char *name, uint32_t *number)
{
    char same[SEGMENT_NAME_SIZE];
    uint64_t value;
    if (!str_to_u64(str_head(str_of(name), DIGITS), &value) || value == 0 || value > UINT32_MAX)
        return false;
    *number = (uint32_t)value;
    segment_name(*number, same);
    return strcmp(name, same) == 0;
}

struct listing {
    struct journal *journal;
    bool full;
};

static bool list_each(void *context, const char *name)
{
    struct listing *listing = context;
    struct journal *journal = listing->journal;
    uint32_t number;
    if (!is_segment(name, &number))
        return true;
    if (journal->segment_count == JOURNAL_SEGMENTS) {
        listing->full = true;
        return false;
    }
    size_t at = journal->segment_count++;
    for (; at > 0 && journal->segments[at - 1].number > number; at--)
        journal->segments[at] = journal->segments[at - 1];
    journal->segments[at] = (struct journal_segment){.number = number};
    return true;
}

enum err segment_list(struct journal *journal)
{
    struct listing listing = {.journal = journal};
    journal->segment_count = 0;
    enum err err = port_list(journal->directory, list_each, &listing);
    if (err == OK && listing.full)
        err = ERR_FULL;
    return err;
}

struct journal_segment *segment_newest(struct journal *journal)
{
    ASSERT(journal->segment_count > 0);
    return &journal->segments[journal->segment_count - 1];
}

const struct journal_segment *segment_find(const struct journal *journal, uint32_t number)
{
    if (journal->segment_count == 0 || number < journal->segments[0].number)
        return NULL;
    size_t index = number - journal->segments[0].number; /* numbers have no gaps */
    return index < journal->segment_count ? &journal->segments[index] : NULL;
}

enum err segment_fd(struct journal *journal, uint32_t number, int *fd)
{
    char path[LIMIT_PATH];
    if (number == segment_newest(journal)->number && journal->fd >= 0) {
        *fd = journal->fd;
        return OK;
    }
    if (journal->read_fd < 0 || journal->read_segment != number) {
        if (journal->read_fd >= 0)
            port_close(journal->read_fd);
        journal->read_fd = -1;
        segment_path(journal, number, path);
        if (port_open(path, PORT_READ, &journal->read_fd) != OK) {
            journal->read_fd = -1;
            return ERR_IO;
        }
        journal->read_segment = number;
    }
    *fd = journal->read_fd;
    return OK;
}

enum err segment_sync_directory(struct journal *journal)
{
    if (port_sync_directory(journal->directory) != OK) {
        journal->failed = true;
        return ERR_IO;
    }
    journal->directory_dirty = false;
    return OK;
}

enum err segment_reserve(int fd, int64_t size)
{
    struct port_stat stat;
    enum err err = port_preallocate(fd, size);
    if (err != ERR_UNSUPPORTED)
        return err;
    err = port_stat_fd(fd, &stat);
    if (err != OK || stat.size >= size)
        return err;
    /* Some platforms reserve only what the file already has: then it gets its whole length at once, and readers
     * take the zeros for what they are. */
    err = port_truncate(fd, size);
    if (err == OK)
        err = port_preallocate(fd, size);
    return err == ERR_UNSUPPORTED ? OK : err;
}

enum err segment_remove(struct journal *journal, uint32_t number)
{
    char path[LIMIT_PATH];
    if (journal->read_fd >= 0 && journal->read_segment == number) {
        port_close(journal->read_fd);
        journal->read_fd = -1;
    }
    if (journal->window.segment == number)
        window_forget(&journal->window);
    segment_path(journal, number, path);
    enum err err = port_unlink(path);
    return err == ERR_NOT_FOUND ? OK : err;
}

/* A file of that name can only be one whose making failed half-way: it holds nothing. */
static enum err make(struct journal *journal, uint32_t number, int *fd)
{
    char path[LIMIT_PATH];
    segment_path(journal, number, path);
    enum err err = port_open(path, PORT_CREATE, fd);
    if (err != OK) {
        *fd = -1;
        return err;
    }
    err = port_truncate(*fd, 0);
    if (err == OK)
        err = segment_reserve(*fd, journal->segment_limit);
    if (err == OK)
        err = segment_sync_directory(journal);
    return err;
}

static void write_head(struct journal *journal, const struct record_head *head)
{
    size_t start = journal->out.n;
    record_begin(&journal->out, &journal->writer, journal->batch, 0,
                 CHAIN_BUILT_IN ? &journal->chain.last : NULL);
    record_write_head(&journal->writer, head, journal->daemon_id);
    json_object_end(&journal->writer);
    out_byte(&journal->out, '\n');
    ASSERT(start == 0 && !journal->out.overflow);
    record_seal(journal->buffer, journal->out.n);
    if (CHAIN_BUILT_IN)
        chain_extend(&journal->chain, out_view(&journal->out), false);
}

enum err segment_begin(struct journal *journal)
{
    struct record_head head = {
        .format = RECORD_FORMAT, .number = 1, .first_seq = (int64_t)journal->next_seq};
    int fd = -1;
    ASSERT(journal->out.n == 0 && journal->writing == JOURNAL_IDLE);
    if (journal->segment_count == JOURNAL_SEGMENTS)
        return ERR_NO_SPACE;
    if (journal->segment_count > 0) {
        const struct journal_segment *newest = segment_newest(journal);
        if (newest->number == UINT32_MAX)
            return ERR_NO_SPACE;
        head.number = (int64_t)newest->number + 1;
        head.previous_size = newest->size;
    }
    if (CHAIN_BUILT_IN && journal->chain.has_head)
        chain_hash_write(&journal->chain.head, head.head_sha256);
    enum err err = make(journal, (uint32_t)head.number, &fd);
    if (err != OK) {
        if (fd >= 0) {
            port_close(fd);
            (void)segment_remove(journal, (uint32_t)head.number);
        }
        return err;
    }
    if (journal->segment_count > 0) {
        /* What was reserved and not used goes back; should that fail, it costs space and nothing else.  Readers are
         * likeliest to want this segment next. */
        (void)port_truncate(journal->fd, head.previous_size);
        if (journal->read_fd >= 0)
            port_close(journal->read_fd);
        journal->read_fd = journal->fd;
        journal->read_segment = segment_newest(journal)->number;
    }
    journal->fd = fd;
    journal->written = 0;
    /* Before it is full: where no other can be begun, a quarter is left for what must not be lost. */
    journal->switch_at = journal->segment_limit / 4 * 3;
    journal->segments[journal->segment_count++] =
        (struct journal_segment){.number = (uint32_t)head.number, .first_seq = journal->next_seq};
    write_head(journal, &head);
    return OK;
}
