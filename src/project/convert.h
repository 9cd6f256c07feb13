/* The two ways from a file's bytes to a source's JSON. */
#ifndef PROJECT_CONVERT_H
#define PROJECT_CONVERT_H

#include "project/source.h"

/* Text that json_check() has let through. */
bool normal_convert(struct project_workspace *workspace, struct project_source *source,
                    struct str text, struct project_problem *problem);

/* One YAML document, by the 1.2 core schema.  A stream without a document gives null. Built only with CONFIG_YAML. */
bool yaml_convert(struct project_workspace *workspace, struct project_source *source,
                  struct str text, struct project_problem *problem);

#endif
