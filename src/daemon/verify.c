/* charter-daemon verify: checks the journal's chain and tells what was found.  Owns the words; what holds is
 * journal/verify.c's.  Takes no lock and changes nothing: a daemon may be at work. */
#include "daemon/daemon.h"

#include "port.h"

#include <inttypes.h>

struct words {
    struct out out;
    const struct verify_report *report;
    const struct verify_head *asked;
};

static bool has_events(const struct verify_report *report)
{
    return report->last_seq >= report->first_seq && report->last_seq > 0;
}

static bool holds(const struct verify_report *report)
{
    return report->faults == 0 && report->is_chained &&
           (report->asked == VERIFY_NOT_ASKED || report->asked == VERIFY_HELD);
}

/* --- for people ------------------------------------------------------------------------------------------------------ */

static void head_text(const struct verify_head *head, char text[CHAIN_HEX + 24])
{
    char hex[CHAIN_HEX + 1];
    struct out out = out_on(text, CHAIN_HEX + 24);

    chain_hash_write(&head->hash, hex);
    out_format(&out, "%" PRIu64 ":%s", head->seq, hex);
    out_cstr(&out);
}

static void say_chain(struct words *words)
{
    const struct verify_report *report = words->report;

    out_text(&words->out, "chain     ");
    if (!report->is_chained)
        out_text(&words->out, "none: the last record does not name the one before it\n");
    else if (report->faults > 0)
        out_format(&words->out, "broken; %s it holds from event %" PRIu64 " on\n",
                   report->ended_early ? "up to the break" : "behind the last break",
                   report->chain.seq);
    else if (report->from_the_beginning)
        out_text(&words->out, "whole, from the first record on\n");
    else if (report->unchained > 0)
        out_format(&words->out,
                   "holds from event %" PRIu64 " on (segment %010" PRIu32 ".log, offset %" PRIu32
                   "); %" PRIu64 " records up to there name none\n",
                   report->chain.seq, report->chain.segment, report->chain.offset,
                   report->unchained);
    else
        out_format(&words->out,
                   "holds from event %" PRIu64 " on; segments before %010" PRIu32
                   ".log are held no longer\n",
                   report->chain.seq, report->first_segment);
}

static void say_fault(struct words *words)
{
    const struct verify_report *report = words->report;

    if (report->faults == 0)
        return;
    out_format(&words->out,
               "broken    at segment %010" PRIu32 ".log, offset %" PRIu32 ", event %" PRIu64
               ": %s\n",
               report->fault_segment, report->fault_offset, report->fault_seq, report->fault);
    if (report->expected[0] != '\0')
        out_format(&words->out,
                   "          the record before it has %s\n          it names         %s\n",
                   report->expected, report->found);
    if (report->ended_early)
        out_text(&words->out, "          what follows was not read\n");
    else if (report->faults > 1)
        out_format(&words->out, "          and %" PRIu64 " more behind it\n", report->faults - 1);
}

static void say_asked(struct words *words)
{
    const struct verify_report *report = words->report;
    struct verify_head found = {.seq = 0};
    char text[CHAIN_HEX + 24];

    if (report->asked == VERIFY_NOT_ASKED)
        return;
    head_text(words->asked, text);
    out_format(&words->out, "asked     %s: ", text);
    switch (report->asked) {
    case VERIFY_HELD:
        if (report->asked_part.seq > words->asked->seq)
            out_text(&words->out, "it is what this journal goes on from\n");
        else
            out_format(&words->out,
                       "it is here; events %" PRIu64 " to %" PRIu64 " are what they were then\n",
                       report->asked_part.seq, words->asked->seq);
        break;
    case VERIFY_DIFFERS:
        found = (struct verify_head){words->asked->seq, report->asked_found};
        head_text(&found, text);
        out_format(&words->out, "it is NOT here, that event has %s: what happened was edited\n",
                   text);
        break;
    case VERIFY_AHEAD:
        out_format(&words->out, "it is NOT here, the journal ends at event %" PRIu64 "\n",
                   report->last_seq);
        break;
    case VERIFY_GONE:
        out_format(&words->out,
                   "that event is held no longer, the journal begins at event %" PRIu64
                   "; ask with a later one\n",
                   report->first_seq);
        break;
    case VERIFY_NOT_REACHED:
        out_text(&words->out, "not reached\n");
        break;
    case VERIFY_NOT_ASKED:
        break;
    }
}

static void say_all(struct words *words)
{
    const struct verify_report *report = words->report;
    char head[CHAIN_HEX + 24];

    out_format(&words->out,
               "segments  %" PRIu64 ", %010" PRIu32 ".log to %010" PRIu32 ".log, %" PRIu64
               " bytes\n",
               report->segments, report->first_segment, report->last_segment, report->bytes);
    out_format(&words->out, "records   %" PRIu64, report->records);
    if (has_events(report))
        out_format(&words->out, ", events %" PRIu64 " to %" PRIu64, report->first_seq,
                   report->last_seq);
    if (report->tail_bytes > 0)
        out_format(&words->out, "; %" PRId64 " bytes behind them are torn, or just being written",
                   report->tail_bytes);
    out_byte(&words->out, '\n');
    say_chain(words);
    say_fault(words);
    if (report->head.seq > 0) {
        head_text(&report->head, head);
        out_format(&words->out, "head      %s\n", head);
    }
    say_asked(words);
}

/* --- for programs ----------------------------------------------------------------------------------------------------- */

static void put_hash(struct json_writer *w, const char *key, const struct chain_hash *hash)
{
    char hex[CHAIN_HEX + 1];
    chain_hash_write(hash, hex);
    json_put_text(w, key, hex);
}

static void put_head(struct json_writer *w, const char *key, const struct verify_head *head)
{
    if (head->seq == 0) {
        json_put_null(w, key);
        return;
    }
    json_key(w, key);
    json_object(w);
    json_put_u64(w, "seq", head->seq);
    put_hash(w, "sha256", &head->hash);
    json_object_end(w);
}

static void put_part(struct json_writer *w, const char *key, const struct verify_part *part)
{
    json_key(w, key);
    json_object(w);
    json_put_u64(w, "segment", part->segment);
    json_put_u64(w, "offset", part->offset);
    json_put_u64(w, "seq", part->seq);
    json_object_end(w);
}

static void put_fault(struct json_writer *w, const struct verify_report *report)
{
    if (report->faults == 0) {
        json_put_null(w, "broken");
        return;
    }
    json_key(w, "broken");
    json_object(w);
    json_put_u64(w, "segment", report->fault_segment);
    json_put_u64(w, "offset", report->fault_offset);
    json_put_u64(w, "seq", report->fault_seq);
    json_put_text(w, "reason", report->fault);
    if (report->expected[0] != '\0') {
        json_put_text(w, "expected", report->expected);
        json_put_text(w, "found", report->found);
    }
    json_put_u64(w, "breaks", report->faults);
    json_object_end(w);
}

static void put_asked(struct json_writer *w, const struct words *words)
{
    static const char *const names[] = {[VERIFY_HELD] = "held",
                                        [VERIFY_DIFFERS] = "differs",
                                        [VERIFY_AHEAD] = "ahead",
                                        [VERIFY_GONE] = "gone",
                                        [VERIFY_NOT_REACHED] = "not_reached"};
    const struct verify_report *report = words->report;

    if (report->asked == VERIFY_NOT_ASKED)
        return;
    json_key(w, "asked");
    json_object(w);
    json_put_u64(w, "seq", words->asked->seq);
    put_hash(w, "sha256", &words->asked->hash);
    json_put_text(w, "found", names[report->asked]);
    if (report->asked == VERIFY_HELD)
        put_part(w, "from", &report->asked_part);
    if (report->asked == VERIFY_DIFFERS)
        put_hash(w, "found_sha256", &report->asked_found);
    json_object_end(w);
}

static void put_all(struct words *words)
{
    const struct verify_report *report = words->report;
    struct json_writer w = json_writer(&words->out);

    json_object(&w);
    json_put_bool(&w, "holds", holds(report));
    json_key(&w, "segments");
    json_object(&w);
    json_put_u64(&w, "count", report->segments);
    json_put_u64(&w, "first", report->first_segment);
    json_put_u64(&w, "last", report->last_segment);
    json_object_end(&w);
    json_put_u64(&w, "bytes", report->bytes);
    json_put_u64(&w, "records", report->records);
    json_put_u64(&w, "unchained", report->unchained);
    json_put_u64(&w, "first_seq", report->first_seq);
    json_put_u64(&w, "last_seq", report->last_seq);
    json_put_i64(&w, "tail_bytes", report->tail_bytes);
    json_put_bool(&w, "from_the_beginning", report->from_the_beginning);
    if (report->is_chained)
        put_part(&w, "chain", &report->chain);
    else
        json_put_null(&w, "chain");
    put_fault(&w, report);
    put_head(&w, "head", &report->head);
    put_asked(&w, words);
    json_object_end(&w);
    out_byte(&words->out, '\n');
}

/* --- the command ------------------------------------------------------------------------------------------------------ */

static int cannot(const struct verify_report *report, const char *directory, enum err err)
{
    char bytes[LIMIT_PATH + 1024];
    struct out out = OUT_ON(bytes);

    if (err == ERR_BUSY)
        out_format(&out,
                   "charter-daemon: %s: segments go faster than they can be read; try again\n",
                   directory);
    else
        out_format(&out, "charter-daemon: the journal cannot be read: %s\n",
                   report->trouble[0] != '\0' ? report->trouble : err_text(err));
    port_stderr(out_view(&out));
    return err == ERR_UNSUPPORTED ? EXIT_DAMAGED : EXIT_STORAGE;
}

int daemon_verify(struct daemon *daemon)
{
    char directory[LIMIT_PATH], bytes[4096];
    struct out path = OUT_ON(directory);
    struct verify_report report;
    const struct verify_head *asked = &daemon->options.head;
    struct words words = {.out = OUT_ON(bytes), .report = &report, .asked = asked};

    out_format(&path, "%s/.charter/journal", daemon->options.project_path);
    out_cstr(&path);
    enum err err =
        verify_journal(&daemon->journal, directory, asked->seq > 0 ? asked : NULL, &report);
    if (err != OK)
        return cannot(&report, directory, err);
    if (daemon->options.json)
        put_all(&words);
    else
        say_all(&words);
    if (port_stdout(out_view(&words.out)) != OK)
        return EXIT_STORAGE;
    return holds(&report) ? EXIT_STOPPED : EXIT_BROKEN;
}
