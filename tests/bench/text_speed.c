/* What the processor does for each byte that passes: the daemon's own functions over the lines of a talkative integration.
 *
 *     text_speed ROUNDS
 *
 * Prints "NAME MB/s" for each: copy is memcpy, the floor. */
#include "bench.h"

#include "base/crc32c.h"
#include "json/check.h"
#include "json/scan.h"
#include "rpc/rpc.h"
#include "run/mask.h"

#define LINES 1000

static char text[LINES * 200], copied[LINES * 200];
static struct str lines[LINES];
static size_t total;
static struct mask masks[3];
static volatile uint32_t sink; /* keeps what is computed from being thrown away */

static void make_lines(void)
{
    for (size_t i = 0; i < LINES; i++) {
        int n = snprintf(
            text + total, sizeof text - total,
            "{\"jsonrpc\":\"2.0\",\"method\":\"log\",\"data\":{\"level\":\"info\",\"message\":"
            "\"line %zu: forty-two items were fetched, checked and written\"}}",
            i);
        lines[i] = str_range(text + total, (size_t)n);
        total += (size_t)n;
    }
}

static void copy(struct str line)
{
    memcpy(copied, line.p, line.n);
    sink += (uint32_t)copied[line.n / 2];
}

static void check(struct str line)
{
    sink += json_check(line, 32, NULL) == OK;
}

static void scan(struct str line)
{
    static const struct json_scan_path paths[] = {
        {"id", NULL}, {"result", NULL}, {"result", "value"}, {"method", NULL}};
    struct json_scan scan;
    json_scan_start(&scan, paths, 4, 32);
    sink += json_scan_feed(&scan, line) == OK && json_scan_end(&scan) == OK;
}

static void envelope(struct str line)
{
    struct rpc_envelope read;
    struct rpc_error error;
    sink += rpc_read(line, &read, &error) == OK;
}

static void sum(struct str line)
{
    sink += crc32c(0, line);
}

static void hide(const struct mask *mask, struct str line)
{
    size_t n = line.n;
    memcpy(copied, line.p, line.n);
    mask_event(mask, copied, &n);
    sink += (uint32_t)n;
}

static void mask_none(struct str line)
{
    hide(&masks[0], line);
}

static void mask_one(struct str line)
{
    hide(&masks[1], line);
}

static void mask_eight(struct str line)
{
    hide(&masks[2], line);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*act)(struct str line);
    } acts[] = {{"copy", copy},         {"check", check},      {"scan", scan},
                {"envelope", envelope}, {"crc32c", sum},       {"mask_0", mask_none},
                {"mask_1", mask_one},   {"mask_8", mask_eight}};
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20;

    make_lines();
    for (unsigned i = 0; i < 8; i++) {
        char secret[32];
        snprintf(secret, sizeof secret, "%c%uf3Kx82mQpZ0aW%u", "iflwcae4"[i], i, i);
        if ((i == 0 && mask_learn(&masks[1], str_of(secret)) != OK) ||
            mask_learn(&masks[2], str_of(secret)) != OK)
            die("mask");
    }
    for (size_t k = 0; k < sizeof acts / sizeof acts[0]; k++) {
        double best = 0;
        for (int repeat = 0; repeat < 5; repeat++) {
            double start = cpu_us();
            for (unsigned round = 0; round < rounds; round++)
                for (size_t i = 0; i < LINES; i++)
                    acts[k].act(lines[i]);
            double us = cpu_us() - start, speed = us > 0 ? (double)total * rounds / us : 0;
            best = speed > best ? speed : best;
        }
        printf("%s %.1f\n", acts[k].name, best);
    }
    return 0;
}
