/* Integrations that are Python classes (contract §2): what is there for them in .charter/.venv, seen without starting
 * Python, and the bridge program that speaks for them.  All of this reads files: helpers, start-up and `check` alone. */
#ifndef PROJECT_PYTHON_H
#define PROJECT_PYTHON_H

#include "base/err.h"
#include "base/out.h"
#include "json/write.h"

/* "FILE.py:CLASS", otherwise the name of an entry point. */
bool python_is_file(struct str target);

/* Whether the target can be started as far as files tell; false with the reason in *why (some 400 bytes).  What only
 * Python can tell, such as a class that is not in its file, is left to the bridge. */
bool python_can_start(const char *root, struct str target, struct out *why);

/* Whether a package in .charter/.venv has that entry point. */
bool python_has_entry_point(const char *root, struct str name);

/* Calls `each` for every entry point of the group charter.integrations in .charter/.venv, folder by folder. */
void python_list(const char *root,
                 void (*each)(void *context, struct str name, struct str object,
                              struct str package),
                 void *context);

/* The command of a target, as a JSON array. */
void python_write_command(struct json_writer *w, struct str target);

/* Writes .charter/bridge.py where it is missing or another version's; whole or not at all. */
enum err python_put_bridge(const char *root);
/* The same, where the project has a .charter/.venv. */
enum err python_put_bridge_if_used(const char *root);

#endif
