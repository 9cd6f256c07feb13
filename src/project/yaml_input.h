/* What yaml.c and yaml_strict.c share: opening libyaml on a text. */
#ifndef PROJECT_YAML_INPUT_H
#define PROJECT_YAML_INPUT_H

#include "project/source.h"

#ifdef CONFIG_YAML

#include <yaml.h>

/* Must live as long as the parser. */
struct yaml_input {
    struct str rest;
    bool ends_blank; /* one more line feed is to be given */
};

/* False: out of memory. */
bool yaml_input_open(struct yaml_input *input, yaml_parser_t *parser, struct str text);
/* Fills *problem from the parser's error; false. */
bool yaml_input_failed(const struct project_source *source, const yaml_parser_t *parser,
                       struct project_problem *problem);

/* Refuses what libyaml takes although YAML 1.2 does not, or takes with another meaning. */
bool yaml_strict(const struct project_source *source, struct str text,
                 struct project_problem *problem);

#endif

#endif
