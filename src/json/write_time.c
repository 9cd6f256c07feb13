/* Times as strings: the one value of json/write.h that needs a calendar, which not every program wants along. */
#include "json/write.h"

#include "base/time.h"

void json_time(struct json_writer *w, int64_t unix_ms)
{
    struct out *out = json_raw_begin(w);
    out_byte(out, '"');
    time_write(out, unix_ms);
    out_byte(out, '"');
}

void json_put_time(struct json_writer *w, const char *key, int64_t unix_ms)
{
    json_key(w, key);
    json_time(w, unix_ms);
}
