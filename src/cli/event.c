/* Reads an event.  Owns the field table; never judges a type: unknown ones are events as well. */
#include "cli/event.h"

#include "base/time.h"
#include "json/read.h"

bool cli_event_read(struct str raw, struct cli_event *event)
{
#define PLACE(member) .offset = offsetof(struct cli_event, member)
#define ARRAY(member) PLACE(member), .size = sizeof event->member
    static const struct json_field fields[] = {
        {.name = "type", .type = JSON_FIELD_TEXT, .flags = JSON_REQUIRED, ARRAY(type)},
        {.name = "seq", .type = JSON_FIELD_INTEGER, .flags = JSON_REQUIRED, PLACE(seq)},
        {.name = "run_id", .type = JSON_FIELD_TEXT, .flags = JSON_NULLABLE, ARRAY(run_id)},
        {.name = "step_id", .type = JSON_FIELD_TEXT, .flags = JSON_NULLABLE, ARRAY(step_id)},
        {.name = "time", .type = JSON_FIELD_TEXT, .flags = JSON_NULLABLE, ARRAY(time)},
        {.name = "attempt", .type = JSON_FIELD_INTEGER, .flags = JSON_NULLABLE, PLACE(attempt)},
        {.name = "data", .type = JSON_FIELD_OBJECT, .flags = JSON_NULLABLE, PLACE(data)},
    };
#undef ARRAY
#undef PLACE
    struct json_field_error error;

    *event = (struct cli_event){0};
    if (json_type(raw) != JSON_OBJECT ||
        json_read(raw, fields, sizeof fields / sizeof *fields, event, &error) != OK)
        return false;
    if (!time_read(str_of(event->time), &event->time_ms))
        event->time_ms = 0;
    return true;
}

struct str cli_event_data(const struct cli_event *event, const char *name)
{
    struct str value;

    if (json_type(event->data) != JSON_OBJECT || !json_member(event->data, name, &value) ||
        json_type(value) == JSON_NULL)
        return STR_NONE;
    return value;
}
