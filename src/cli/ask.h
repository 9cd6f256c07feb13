/* What a run waits for, asked at the terminal: a decision with a comment, or answers field by
 * field.  The questions and the reading of what was typed; the requests and who else answers are
 * the caller's (follow.c, answer.c). */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "base/limits.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct cli;
struct json_writer;

enum cli_ask_state {
    CLI_ASK_CLOSED,
    CLI_ASK_DECISION,
    CLI_ASK_COMMENT,
    CLI_ASK_FIELD,
    CLI_ASK_SENT /* the daemon has the answer and has not said what it thinks of it */
};

struct cli_ask {
    enum cli_ask_state state;
    bool is_gate, approve;
    bool again;   /* one field is asked again: what was given for the others stands */
    size_t field; /* the one that is asked */
    char step_id[LIMIT_NAME + 1];
    char comment[LIMIT_TEXT];
    size_t fields_n, answers_n;
    char fields[LIMIT_MESSAGE];  /* their declarations, as the daemon gave them */
    char answers[LIMIT_MESSAGE]; /* a JSON object of what was given so far */
    char spare[LIMIT_MESSAGE];
    char line[8192]; /* longer than what a terminal gives at once */
};

enum cli_asked { CLI_ASKED_MORE, CLI_ASKED_ALL, CLI_ASKED_LEAVE };

/* Whether there is somebody to ask: stdin and stdout are a terminal, and no script reads. */
bool cli_ask_can(const struct cli *cli);
/* Begins with the first question; false where `run` (the answer of run.status) says of nothing
 * that could be asked.  Fields without any are complete at once: see cli_ask_next(). */
bool cli_ask_open(struct cli *cli, struct str run);
/* What is to be done after cli_ask_open() and after each typed line. */
enum cli_asked cli_ask_next(struct cli *cli);
/* Reads one typed line, without waiting where stdin can be read, and asks on. */
enum cli_asked cli_ask_typed(struct cli *cli);
/* Begins the request that carries the answer. */
void cli_ask_request(struct cli *cli, const char *run_id);
/* The daemon refused it: asks again for the field that it names, true; or false, for what cannot
 * be mended by asking. */
bool cli_ask_again(struct cli *cli, struct str error);
/* Gives up: leaves the line of an open question. */
void cli_ask_close(struct cli *cli);
bool cli_ask_is_open(const struct cli *cli);

#endif
