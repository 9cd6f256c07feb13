/* What `charter init` writes. */
#ifndef CLI_INIT_FILES_H
#define CLI_INIT_FILES_H

#include <stdbool.h>
#include <stddef.h>

struct cli_init_file {
    const char *path;         /* from the project's root */
    const char *const *lines; /* NULL-terminated, without line feeds */
    unsigned mode;
    bool is_optional; /* one that is there already stays, and is no obstacle */
};

extern const struct cli_init_file cli_init_files[];
extern const size_t cli_init_file_count;

#endif
