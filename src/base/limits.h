/* Every size in one place: Kconfig's choices, what follows from them, and the relations that must
 * hold. `charter-daemon limits` prints the pools that these numbers make. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include "autoconf.h"
#include "charter/protocol.h"

#include <stdint.h>

/* Contract §8, each a Kconfig symbol. */
#define LIMIT_MESSAGE CONFIG_MESSAGE_BYTES /* of one JSON-RPC message, without its line feed */
#define LIMIT_PROJECT_FILE CONFIG_PROJECT_FILE_BYTES /* charter.yml, manifest, plan; and as JSON */
#define LIMIT_RUNS_IN_FLIGHT CONFIG_RUNS_IN_FLIGHT
#define LIMIT_RUNS_WAITING CONFIG_RUNS_WAITING /* queued and waiting runs */
#define LIMIT_STEPS CONFIG_STEPS_PER_PLAN
#define LIMIT_STEPS_EXECUTING CONFIG_STEPS_EXECUTING /* in the whole daemon */
#define LIMIT_PROCESSES CONFIG_PROCESSES             /* integration processes */
#define LIMIT_CLIENTS CONFIG_CLIENTS                 /* of the control socket */
#define LIMIT_LABELS CONFIG_LABELS
#define LIMIT_LABEL_KEY CONFIG_LABEL_KEY_BYTES
#define LIMIT_LABEL_VALUE CONFIG_LABEL_VALUE_BYTES
#define LIMIT_KEY CONFIG_KEY_BYTES   /* command keys, actors */
#define LIMIT_TEXT CONFIG_TEXT_BYTES /* error messages, comments, reasons */
#define LIMIT_STDERR CONFIG_STDERR_BYTES
#define LIMIT_ARTIFACT ((int64_t)CONFIG_ARTIFACT_MIB * 1024 * 1024)
#define LIMIT_ARTIFACTS ((int64_t)CONFIG_ARTIFACTS_MIB * 1024 * 1024)
#define LIMIT_JOURNAL ((int64_t)CONFIG_JOURNAL_KIB * 1024)
#define LIMIT_RETAIN_RUNS CONFIG_RETAIN_RUNS
#define LIMIT_GRACE_MS CONFIG_GRACE_MS
#define LIMIT_JSON_DEPTH CONFIG_JSON_DEPTH
#define LIMIT_JSON_TOKENS CONFIG_JSON_TOKENS
#define LIMIT_PROJECT_TOKENS CONFIG_PROJECT_TOKENS
#ifdef CONFIG_COMMAND_KEYS
#define LIMIT_COMMAND_KEYS CONFIG_COMMAND_KEYS
#else
#define LIMIT_COMMAND_KEYS 4 /* of a journal from when there was a gateway; nobody sends more */
#endif

/* What contract §8 derives. */
#define LIMIT_INPUTS (LIMIT_MESSAGE / 2) /* inputs, answers, run outputs: each */
#define LIMIT_INLINE_VALUE (LIMIT_MESSAGE / 4)
#define LIMIT_RUN_VALUES LIMIT_MESSAGE /* inline values of one run together */
#define LIMIT_LOG_LINE (LIMIT_MESSAGE / 16)
#define LIMIT_REQUEST (4 * LIMIT_MESSAGE) /* to an integration, without what `inputs:` hydrates */

/* A value from outside stands in an event five containers deep when it travels (message, params, events, event, data), a run's outputs add one
 * more: what is nested deeper than this could not be told to any peer, and becomes an artifact (values) or is refused. */
#define LIMIT_VALUE_DEPTH (LIMIT_JSON_DEPTH - 7)

/* Names and ids (contract §1, §3, §4). */
#define LIMIT_ID CHARTER_ID_MAX     /* bytes of a JSON-RPC string id */
#define LIMIT_NAME CHARTER_NAME_MAX /* of steps, inputs, outputs, fields, integrations, workflows */
#define LIMIT_RUN_ID CHARTER_RUN_ID_MAX
#define LIMIT_DAEMON_ID 64
#define LIMIT_URL 1024
#define LIMIT_PATH (CHARTER_PATH_MAX + 1)
#define LIMIT_TOKEN 4096     /* a bearer token */
#define LIMIT_ERROR_DATA 512 /* the `data` member of an error answer */

/* Run slots: all runs that have not ended. */
#define LIMIT_RUNS (LIMIT_RUNS_IN_FLIGHT + LIMIT_RUNS_WAITING)
/* One pool for all runs; each takes a slice as long as its plan.  Sized so that the run table is
 * full first. */
#define LIMIT_STEP_RECORDS (LIMIT_RUNS * LIMIT_STEPS)

/* An event record is at most a message less what `events.append` puts around it. */
#define LIMIT_EVENT (LIMIT_MESSAGE - 256)
/* A journal line is an event and what else the daemon remembers with it, and the chain's `prev`: in every build, since one
 * without the chain reads what another has written. */
#define LIMIT_RECORD (LIMIT_MESSAGE + 1024 + 80)

/* All labels of a run as JSON, without what escaping adds. */
#define LIMIT_LABELS_JSON (LIMIT_LABELS * (LIMIT_LABEL_KEY + LIMIT_LABEL_VALUE + 8))

/* Submissions being read and checked by helpers at a time; more wait their turn. */
#define LIMIT_SUBMISSIONS 4

/* Everything that is watched by select(): clients, three pipes a process, helpers of submissions and of
 * steps whose values are stored, the link, the listener. The platform's FD_SETSIZE bounds it again at run time. */
#define LIMIT_WATCHES                                                                              \
    (LIMIT_CLIENTS + 3 * LIMIT_PROCESSES + LIMIT_STEPS_EXECUTING + LIMIT_SUBMISSIONS + 16)

/* A text may be all escapes, six bytes each in JSON. */
_Static_assert(6 * (LIMIT_TEXT + 2 * LIMIT_KEY) + 1024 <= LIMIT_EVENT,
               "a decision with its comment and actor is an event");
_Static_assert(LIMIT_JSON_DEPTH <= 64, "the JSON check keeps its nesting in 64 bits");
_Static_assert(LIMIT_STEPS <= 255, "step numbers fit a byte");
_Static_assert(LIMIT_LABELS_JSON + LIMIT_INPUTS + 1024 <= LIMIT_EVENT || LIMIT_MESSAGE < 65536,
               "run.created holds inputs and labels");
_Static_assert(LIMIT_STEPS_EXECUTING <= LIMIT_PROCESSES, "an executing step needs a process");

#endif
