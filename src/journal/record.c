#include "journal/record.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "json/check.h"
#include "json/read.h"

#include <stddef.h>
#include <string.h>

static const char BATCH_START[] = "{\"batch\":";

static void column_write(char to[RECORD_COLUMN], struct str json)
{
    uint32_t crc = crc32c(0, json);
    unsigned char bytes[4] = {(unsigned char)(crc >> 24), (unsigned char)(crc >> 16),
                              (unsigned char)(crc >> 8), (unsigned char)crc};
    struct out column = out_on(to, RECORD_COLUMN);
    out_hex(&column, bytes, sizeof bytes);
    out_byte(&column, ' ');
    ASSERT(!column.overflow && column.n == RECORD_COLUMN);
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

bool record_may_start(struct str bytes)
{
    return bytes.n >= RECORD_START_LENGTH && bytes.p[RECORD_COLUMN - 1] == ' ' &&
           str_starts_with(str_from(bytes, RECORD_COLUMN), str_of(BATCH_START));
}

/* The text behind a column that holds. */
static enum err summed_json(struct str line, struct str *json)
{
    char column[RECORD_COLUMN];
    *json = str_from(line, RECORD_COLUMN);
    if (json->n == 0)
        return ERR_DAMAGED;
    column_write(column, *json);
    return str_equal(str_head(line, RECORD_COLUMN), str_range(column, sizeof column)) ? OK
                                                                                      : ERR_DAMAGED;
}

static enum err checked_json(struct str line, struct str *json)
{
    enum err err = summed_json(line, json);
    if (err != OK)
        return err;
    /* White space around the value would pass the check below. */
    if (json->p[0] != '{' || json->p[json->n - 1] != '}')
        return ERR_SYNTAX;
    return json_check(*json, RECORD_DEPTH, NULL);
}

/* What stands around event and memo is written here alone, byte for byte in one way: so it is read. */
static bool take(struct str *rest, struct str literal)
{
    if (!str_starts_with(*rest, literal))
        return false;
    *rest = str_from(*rest, literal.n);
    return true;
}

static bool take_number(struct str *rest, int64_t minimum, int64_t *value)
{
    size_t n = 0;
    while (n < rest->n && rest->p[n] >= '0' && rest->p[n] <= '9')
        n++;
    struct str digits = str_head(*rest, n);
    *rest = str_from(*rest, n);
    return str_to_i64(digits, value) && *value >= minimum;
}

static bool take_object(struct str *rest, struct str *object)
{
    if (rest->n == 0 || rest->p[0] != '{')
        return false;
    *object = str_head(*rest, json_length(*rest));
    *rest = str_from(*rest, object->n);
    return true;
}

/* The digits are not looked at: whoever follows the chain compares them. */
static bool take_prev(struct str *rest, struct str *prev)
{
    if (!take(rest, STR(",\"prev\":\"")))
        return true;
    *prev = str_head(*rest, CHAIN_HEX);
    *rest = str_from(*rest, CHAIN_HEX);
    return take(rest, STR("\""));
}

static bool take_event_and_memo(struct str *rest, struct record *record)
{
    int64_t seq;
    if (take(rest, STR(",\"event\":"))) {
        if (!take_object(rest, &record->event))
            return false;
        struct str inside = record->event;
        if (!take(&inside, STR("{\"seq\":")) || !take_number(&inside, 1, &seq))
            return false;
        record->seq = (uint64_t)seq;
    }
    if (take(rest, STR(",\"memo\":")))
        return take_object(rest, &record->memo);
    return record->event.n > 0;
}

static enum err read_members(struct str json, struct record *record)
{
    struct str rest = json;
    int64_t batch;
    *record = (struct record){0};
    bool good = take(&rest, str_of(BATCH_START)) && take_number(&rest, 1, &batch) &&
                take(&rest, STR(",\"synced\":")) && take_number(&rest, 0, &record->synced) &&
                take_prev(&rest, &record->prev);
    if (!good)
        return ERR_SYNTAX;
    record->batch = (uint64_t)batch;
    if (take(&rest, STR(",\"checkpoint\":{\"records\":"))) {
        record->is_mark = true;
        good = take_number(&rest, 0, &record->marked) && take(&rest, STR("}"));
    } else if (take(&rest, STR(",\"segment\":"))) {
        good = take_object(&rest, &record->head);
    } else {
        good = take_event_and_memo(&rest, record);
    }
    return good && str_is(rest, "}") ? OK : ERR_SYNTAX;
}

enum err record_read_own(struct str line, struct record *record)
{
    struct str json;
    enum err err = summed_json(line, &json);
    if (err == OK)
        err = read_members(json, record);
    return err == OK ? OK : ERR_DAMAGED;
}

enum err record_read(struct str line, struct record *record)
{
    struct str json;
    enum err err = checked_json(line, &json);
    if (err == OK)
        err = read_members(json, record);
    if (err != OK)
        *record = (struct record){0};
    return err;
}

enum err record_read_head(struct str line, struct record *record, struct record_head *head)
{
    static const struct json_field fields[] = {
        {"number", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct record_head, number), 0, 1,
         UINT32_MAX},
        {"first_seq", JSON_FIELD_INTEGER, JSON_REQUIRED, offsetof(struct record_head, first_seq), 0,
         1, INT64_MAX},
        {"previous_size", JSON_FIELD_INTEGER, JSON_REQUIRED,
         offsetof(struct record_head, previous_size), 0, 0, UINT32_MAX},
        {"head_sha256", JSON_FIELD_TEXT, 0, offsetof(struct record_head, head_sha256),
         CHAIN_HEX + 1, 0, 0},
    };
    struct json_field_error problem;
    struct str json, raw, format;
    *record = (struct record){0};
    *head = (struct record_head){0};
    enum err err = checked_json(line, &json);
    if (err != OK)
        return err;
    /* Before anything else, since the rest may look different in a newer format. */
    if (!json_member(json, "segment", &raw) || !json_member(raw, "format", &format) ||
        !json_integer(format, &head->format) || head->format < 1)
        return ERR_SYNTAX;
    if (head->format > RECORD_FORMAT)
        return ERR_UNSUPPORTED;
    if (read_members(json, record) != OK || record->head.n == 0 || record->synced != 0 ||
        json_read(raw, fields, sizeof fields / sizeof fields[0], head, &problem) != OK) {
        *record = (struct record){0};
        return ERR_SYNTAX;
    }
    return OK;
}

/* --- writing ------------------------------------------------------------------------------------------------------- */

void record_begin(struct out *out, struct json_writer *w, uint64_t batch, int64_t synced,
                  const struct chain_hash *prev)
{
    static const char empty[RECORD_COLUMN] = {'0', '0', '0', '0', '0', '0', '0', '0', ' '};
    out_str(out, str_range(empty, sizeof empty));
    *w = json_writer(out);
    json_object(w);
    json_put_u64(w, "batch", batch);
    json_put_i64(w, "synced", synced);
    if (prev != NULL) {
        char hex[CHAIN_HEX + 1];
        chain_hash_write(prev, hex);
        json_put_text(w, "prev", hex);
    }
}

void record_seal(char *line, size_t n)
{
    ASSERT(n > RECORD_COLUMN + 1 && line[n - 1] == '\n');
    column_write(line, str_range(line + RECORD_COLUMN, n - RECORD_COLUMN - 1));
}

void record_write_mark(struct json_writer *w, uint64_t records)
{
    json_key(w, "checkpoint");
    json_object(w);
    json_put_u64(w, "records", records);
    json_object_end(w);
}

void record_write_head(struct json_writer *w, const struct record_head *head, const char *daemon_id)
{
    json_key(w, "segment");
    json_object(w);
    json_put_i64(w, "format", head->format);
    json_put_i64(w, "number", head->number);
    json_put_text(w, "daemon_id", daemon_id);
    json_put_i64(w, "first_seq", head->first_seq);
    json_put_i64(w, "previous_size", head->previous_size);
    if (head->head_sha256[0] != '\0')
        json_put_text(w, "head_sha256", head->head_sha256);
    json_object_end(w);
}
