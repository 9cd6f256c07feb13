/* The JSON check as a program, so that outside suites can be pointed at the daemon's own code: JSON
 * of any size on stdin; exit 0 when it is valid, 1 when it is refused (reason and offset on
 * stderr), 2 when it cannot be read. */
#include "base/limits.h"
#include "json/check.h"

#include <inttypes.h>
#include <stdio.h>

int main(void)
{
    static char buffer[65536];
    struct json_check check;
    enum err err = OK;
    size_t got;
    json_check_start(&check, LIMIT_JSON_DEPTH);
    while (err == OK && (got = fread(buffer, 1, sizeof buffer, stdin)) > 0)
        err = json_check_feed(&check, str_range(buffer, got));
    if (ferror(stdin)) {
        fprintf(stderr, "json-check: stdin cannot be read\n");
        return 2;
    }
    if (err == OK)
        err = json_check_end(&check);
    if (err != OK) {
        fprintf(stderr, "json-check: refused at byte %" PRIu64 ": %s\n", check.offset,
                check.reason);
        return 1;
    }
    return 0;
}
