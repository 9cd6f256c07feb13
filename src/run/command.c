#include "run/command.h"

#include "json/read.h"
#include "json/utf8.h"

#include <string.h>

struct command_entry *command_find(struct command_table *table, const char *key)
{
    for (size_t i = 0; i < LIMIT_COMMAND_KEYS; i++)
        if (table->entries[i].seq != 0 && strcmp(table->entries[i].key, key) == 0)
            return &table->entries[i];
    return NULL;
}

static struct command_entry *take_place(struct command_table *table, const char *key)
{
    struct command_entry *entry = command_find(table, key);
    if (entry == NULL) {
        entry = &table->entries[table->next];
        table->next = (table->next + 1) % LIMIT_COMMAND_KEYS;
    }
    memset(entry, 0, sizeof *entry);
    return entry;
}

/* As much of a message as fits, in whole characters: what is written must be what is read back, and a byte that is no UTF-8 would be
 * written as three. */
static void copy_message(const char *message, char *to, size_t size)
{
    struct out out = out_on(to, size - 1);
    struct str rest = str_of(message);

    while (rest.n > 0 && !out.overflow) {
        size_t n = utf8_length(rest);
        out_str(&out, n > 0 ? str_head(rest, n) : STR(UTF8_REPLACEMENT));
        rest = str_from(rest, n > 0 ? n : 1);
    }
    to[out.n] = '\0';
}

static void fill(struct command_entry *entry, const struct rpc_command *command, const char *run_id,
                 const struct rpc_error *error)
{
    memset(entry, 0, sizeof *entry);
    entry->seq = command->seq;
    memcpy(entry->key, command->key, sizeof entry->key);
    memcpy(entry->digest, command->digest, sizeof entry->digest);
    entry->failed = error != NULL;
    if (error == NULL) {
        (void)str_copy(str_of(run_id), entry->run_id, sizeof entry->run_id);
        return;
    }
    entry->code = error->code;
    copy_message(error->message, entry->message, sizeof entry->message);
    (void)str_copy(str_of(error->data), entry->data, sizeof entry->data);
}

void command_remember(struct command_table *table, const struct rpc_command *command,
                      const char *run_id, const struct rpc_error *error)
{
    fill(take_place(table, command->key), command, run_id, error);
    if (command->seq > table->seen)
        table->seen = command->seq;
}

bool command_is_outcome(int code)
{
    return code != RPC_MESSAGE_TOO_LARGE && code != RPC_NOT_READY && code != RPC_BUSY &&
           code != RPC_JOURNAL_FULL;
}

void command_write_entry(struct json_writer *w, const struct command_entry *entry)
{
    char hex[64];
    struct out digest = OUT_ON(hex);

    out_hex(&digest, entry->digest, sizeof entry->digest);
    json_key(w, "command");
    json_object(w);
    json_put_u64(w, "seq", entry->seq);
    json_put_text(w, "key", entry->key);
    json_put_str(w, "digest", out_view(&digest));
    if (entry->failed) {
        json_put_i64(w, "code", entry->code);
        json_put_text(w, "message", entry->message);
        if (entry->data[0] != '\0')
            json_put_raw(w, "data", str_of(entry->data));
    } else {
        json_put_text(w, "run_id", entry->run_id);
    }
    json_object_end(w);
}

void command_write(struct json_writer *w, const struct rpc_command *command, const char *run_id,
                   const struct rpc_error *error)
{
    struct command_entry entry;
    fill(&entry, command, run_id, error);
    command_write_entry(w, &entry);
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool command_replay(struct command_table *table, struct str raw)
{
    struct read {
        int64_t seq, code;
        char key[LIMIT_KEY + 1], digest[65], run_id[LIMIT_RUN_ID + 1], message[256];
        struct str data;
    } read = {.seq = 0};
    static const struct json_field fields[] = {
        {"seq", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct read, seq), 0, 1, INT64_MAX},
        {"key", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct read, key), sizeof read.key, 0, 0},
        {"digest", JSON_FIELD_TEXT, JSON_REQUIRED, offsetof(struct read, digest),
         sizeof read.digest, 0, 0},
        {"run_id", JSON_FIELD_TEXT, 0, offsetof(struct read, run_id), sizeof read.run_id, 0, 0},
        {"code", JSON_FIELD_INTEGER, 0, offsetof(struct read, code), 0, 0, 0},
        {"message", JSON_FIELD_TEXT, 0, offsetof(struct read, message), sizeof read.message, 0, 0},
        {"data", JSON_FIELD_RAW, 0, offsetof(struct read, data), 0, 0, 0},
    };
    struct json_field_error problem;

    if (json_read(raw, fields, sizeof fields / sizeof fields[0], &read, &problem) != OK)
        return false;
    struct command_entry *entry = take_place(table, read.key);
    entry->seq = (uint64_t)read.seq;
    memcpy(entry->key, read.key, sizeof entry->key);
    for (size_t i = 0; i < sizeof entry->digest; i++) {
        int high = hex_value(read.digest[2 * i]), low = hex_value(read.digest[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        entry->digest[i] = (unsigned char)(high << 4 | low);
    }
    entry->failed = read.code != 0;
    entry->code = (int)read.code;
    if (entry->failed)
        memcpy(entry->message, read.message, sizeof entry->message);
    else
        memcpy(entry->run_id, read.run_id, sizeof entry->run_id);
    (void)str_copy(read.data, entry->data, sizeof entry->data);
    if (entry->seq > table->seen)
        table->seen = entry->seq;
    return true;
}
