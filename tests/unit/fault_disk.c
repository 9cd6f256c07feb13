#include "fault_disk.h"

#include "fault/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FILES 512
#define NAMES 512

/* A change of a file that is not synced yet. */
struct change {
    int64_t offset; /* of the data; of a truncation, the new size */
    int64_t n;      /* -1: a truncation */
    char *data;
};

/* What a name stands for: lives on without one. */
struct file {
    char *durable;
    int64_t size; /* durable */
    struct change *changes;
    size_t count, room;
};

struct name {
    char text[32];
    int file; /* -1: removed */
};

static struct {
    char directory[300];
    struct file files[FILES];
    size_t file_count;
    struct name now[NAMES];     /* what the process sees */
    struct name durable[NAMES]; /* as of the last sync of the directory */
    struct name pending[NAMES]; /* in order, since then */
    size_t now_count, durable_count, pending_count;
    uint64_t changes, cut_at;
    bool cut;
} disk;

static uint64_t dice_state;

void dice_seed(uint64_t seed)
{
    dice_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

size_t dice(size_t sides)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (size_t)((dice_state >> 11) % sides);
}

static void *must(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static int new_file(void)
{
    assert_true(disk.file_count < FILES);
    disk.files[disk.file_count] = (struct file){.size = 0};
    return (int)disk.file_count++;
}

static struct name *find(struct name *names, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i].text, text) == 0)
            return &names[i];
    return NULL;
}

static void set(struct name *names, size_t *count, const char *text, int file)
{
    struct name *name = find(names, *count, text);
    if (name == NULL) {
        assert_true(*count < NAMES && strlen(text) < sizeof name->text);
        name = &names[(*count)++];
        strcpy(name->text, text);
    }
    name->file = file;
}

static void rename_to(const char *text, int file)
{
    set(disk.now, &disk.now_count, text, file);
    assert_true(disk.pending_count < NAMES);
    strcpy(disk.pending[disk.pending_count].text, text);
    disk.pending[disk.pending_count++].file = file;
}

static struct file *file_of(const char *path)
{
    struct name *name = find(disk.now, disk.now_count, base_of(path));
    assert_true(name != NULL && name->file >= 0);
    return &disk.files[name->file];
}

static void note(struct file *file, int64_t offset, int64_t n, const void *data)
{
    if (file->count == file->room) {
        file->room = file->room * 2 + 8;
        file->changes = must(realloc(file->changes, file->room * sizeof file->changes[0]));
    }
    struct change *change = &file->changes[file->count++];
    *change = (struct change){.offset = offset, .n = n};
    if (n > 0) {
        change->data = must(malloc((size_t)n));
        memcpy(change->data, data, (size_t)n);
    }
}

/* Bytes [from, to) of the file after the first `count` changes. */
static void version(const struct file *file, size_t count, int64_t from, int64_t to, char *bytes)
{
    memset(bytes, 0, (size_t)(to - from));
    if (from < file->size)
        memcpy(bytes, file->durable + from, (size_t)((to < file->size ? to : file->size) - from));
    for (size_t i = 0; i < count; i++) {
        const struct change *change = &file->changes[i];
        int64_t begin = change->offset > from ? change->offset : from;
        int64_t end =
            change->n < 0 || change->offset + change->n > to ? to : change->offset + change->n;
        if (begin >= end)
            continue;
        if (change->n < 0)
            memset(bytes + (begin - from), 0, (size_t)(end - begin));
        else
            memcpy(bytes + (begin - from), change->data + (begin - change->offset),
                   (size_t)(end - begin));
    }
}

static int64_t size_after(const struct file *file, size_t count)
{
    int64_t size = file->size;
    for (size_t i = 0; i < count; i++) {
        const struct change *change = &file->changes[i];
        if (change->n < 0)
            size = change->offset;
        else if (change->offset + change->n > size)
            size = change->offset + change->n;
    }
    return size;
}

static void drop_changes(struct file *file)
{
    for (size_t i = 0; i < file->count; i++)
        free(file->changes[i].data);
    file->count = 0;
}

static void make_durable(struct file *file)
{
    int64_t size = size_after(file, file->count);
    char *bytes = must(malloc((size_t)size + 1));
    version(file, file->count, 0, size, bytes);
    free(file->durable);
    file->durable = bytes;
    file->size = size;
    drop_changes(file);
}

static void apply_names(void)
{
    for (size_t i = 0; i < disk.pending_count; i++)
        set(disk.durable, &disk.durable_count, disk.pending[i].text, disk.pending[i].file);
    disk.pending_count = 0;
}

static void on_call(const struct fault_trace *call, const char *path, const char *to,
                    const void *data)
{
    struct name *name;
    (void)to;
    if (disk.cut || call->result < 0)
        return;
    switch (call->kind) {
    case FAULT_OPEN:
    case FAULT_WRITE:
    case FAULT_TRUNCATE:
    case FAULT_SYNC:
    case FAULT_SYNC_NAMES:
    case FAULT_UNLINK:
        break;
    default:
        return;
    }
    if (strcmp(path, disk.directory) == 0 && call->kind != FAULT_SYNC_NAMES)
        return;
    if (call->kind == FAULT_OPEN && (call->offset & O_CREAT) == 0)
        return;
    if (++disk.changes == disk.cut_at) {
        disk.cut = true;
        return;
    }
    switch (call->kind) {
    case FAULT_OPEN:
        name = find(disk.now, disk.now_count, base_of(path));
        if (name == NULL || name->file < 0)
            rename_to(base_of(path), new_file());
        break;
    case FAULT_WRITE:
        note(file_of(path), call->offset, call->result, data);
        break;
    case FAULT_TRUNCATE:
        note(file_of(path), call->offset, -1, NULL);
        break;
    case FAULT_SYNC:
        make_durable(file_of(path));
        break;
    case FAULT_SYNC_NAMES:
        if (strcmp(path, disk.directory) == 0)
            apply_names();
        break;
    case FAULT_UNLINK:
        rename_to(base_of(path), -1);
        break;
    default:
        break;
    }
}

/* --- possible states ------------------------------------------------------------------------------------------------- */

void disk_empty(const char *directory)
{
    char path[600];
    DIR *opened = must(opendir(directory));
    struct dirent *entry;
    while ((entry = readdir(opened)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        assert_int_equal(unlink(path), 0);
    }
    closedir(opened);
}

static void put_file(const struct file *file, const char *path)
{
    static const int64_t blocks[] = {512, 512, 4096, 64};
    int64_t block = blocks[dice(4)];
    uint64_t mood = dice(6);
    size_t all = mood == 0 ? 0 : mood == 1 ? file->count : dice(file->count + 1);
    int64_t size = size_after(file, dice(3) == 0 ? dice(file->count + 1) : file->count);

    if (mood <= 1)
        size = size_after(file, all);
    char *bytes = must(calloc(1, (size_t)size + (size_t)block));
    for (int64_t at = 0; at < size; at += block) {
        /* 0, 1: all or nothing; 2: all up to one; 3, 4: each block by itself; 5: some blocks are lost */
        size_t count = mood <= 2      ? all
                       : mood <= 4    ? dice(file->count + 1)
                       : dice(8) == 0 ? 0
                                      : file->count;
        version(file, count, at, at + block, bytes + at);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    for (int64_t done = 0; done < size;) {
        ssize_t put = write(fd, bytes + done, (size_t)(size - done));
        assert_true(put > 0);
        done += put;
    }
    close(fd);
    free(bytes);
}

void disk_materialise(const char *directory)
{
    struct name names[NAMES];
    size_t count = disk.durable_count;
    uint64_t mood = dice(3);
    char path[600];

    memcpy(names, disk.durable, sizeof names);
    for (size_t i = 0; i < disk.pending_count; i++)
        if (mood == 0 || (mood == 1 && dice(2) == 0))
            set(names, &count, disk.pending[i].text, disk.pending[i].file);
    disk_empty(directory);
    for (size_t i = 0; i < count; i++) {
        if (names[i].file < 0)
            continue;
        snprintf(path, sizeof path, "%s/%.31s", directory, names[i].text);
        put_file(&disk.files[names[i].file], path);
    }
}

/* --- watching --------------------------------------------------------------------------------------------------------- */

void disk_forget(void)
{
    fault_on_call = NULL;
    fault_below(NULL);
    for (size_t i = 0; i < disk.file_count; i++) {
        drop_changes(&disk.files[i]);
        free(disk.files[i].changes);
        free(disk.files[i].durable);
    }
    memset(&disk, 0, sizeof disk);
}

static void learn(const char *text)
{
    char path[600];
    struct stat found;
    snprintf(path, sizeof path, "%s/%s", disk.directory, text);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &found), 0);
    struct file *file = &disk.files[new_file()];
    file->size = (int64_t)found.st_size;
    file->durable = must(malloc((size_t)file->size + 1));
    assert_int_equal(read(fd, file->durable, (size_t)file->size), file->size);
    close(fd);
    set(disk.now, &disk.now_count, text, (int)disk.file_count - 1);
    set(disk.durable, &disk.durable_count, text, (int)disk.file_count - 1);
}

void disk_watch(const char *directory)
{
    struct dirent *entry;
    disk_forget();
    snprintf(disk.directory, sizeof disk.directory, "%s", directory);
    DIR *opened = must(opendir(directory));
    while ((entry = readdir(opened)) != NULL)
        if (entry->d_name[0] != '.')
            learn(entry->d_name);
    closedir(opened);
    disk.cut_at = UINT64_MAX;
    fault_control->no_syncs = 1;
    fault_below(disk.directory);
    fault_on_call = on_call;
}

void disk_cut_at(uint64_t changes)
{
    disk.cut_at = disk.changes + changes;
}

bool disk_is_cut(void)
{
    return disk.cut;
}

uint64_t disk_changes(void)
{
    return disk.changes;
}
