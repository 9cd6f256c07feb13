/* Arbitrary bytes as the answer to the opening handshake: the verdict must not depend on how they are split.  The first
 * byte says how; "%ACCEPT%" in the input stands for the right value. */
#include "base/assert.h"
#include "link/upgrade.h"

#include <string.h>

struct verdict {
    enum err err;
    size_t taken;
    unsigned status;
    int64_t retry_after_ms;
    char line[ANSWER_LINE];
};

static struct verdict judge(struct str text, size_t chunk)
{
    static const unsigned char key[16] = "sixteen bytes...";
    static const struct url url = {.host = "h", .port = 80, .path = "/v1/daemon"};
    static struct upgrade upgrade;
    static char head[2048], request[1024];
    struct out out = OUT_ON(request);
    struct verdict verdict = {.err = ERR_AGAIN};

    upgrade_start(&upgrade, head, sizeof head, 1000000, key, &url, UPGRADE_PROTOCOL, STR_NONE,
                  &out);
    while (verdict.err == ERR_AGAIN && text.n > 0) {
        size_t taken;
        verdict.err = upgrade_feed(&upgrade, str_head(text, chunk), &taken);
        ASSERT(taken > 0 && taken <= chunk);
        verdict.taken += taken;
        text = str_from(text, taken);
    }
    if (verdict.err == ERR_AGAIN)
        verdict.err = upgrade_end(&upgrade);
    ASSERT(verdict.err == OK || verdict.err == ERR_REFUSED || upgrade.answer.reason[0] != '\0');
    ASSERT(memchr(upgrade.answer.line, '\0', sizeof upgrade.answer.line) != NULL);
    verdict.status = upgrade.answer.status;
    verdict.retry_after_ms = upgrade.answer.retry_after_ms;
    memcpy(verdict.line, upgrade.answer.line, sizeof verdict.line);
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char buffer[8192];
    char accept[WEBSOCKET_ACCEPT_LENGTH + 1];
    struct out text = OUT_ON(buffer);

    if (size == 0)
        return 0;
    websocket_accept(STR("c2l4dGVlbiBieXRlcy4uLg=="), accept);
    for (size_t i = 1; i < size; i++) {
        if (size - i >= 8 && memcmp(data + i, "%ACCEPT%", 8) == 0) {
            out_text(&text, accept);
            i += 7;
        } else {
            out_byte(&text, (char)data[i]);
        }
    }
    struct verdict whole = judge(out_view(&text), sizeof buffer),
                   split = judge(out_view(&text), (size_t)data[0] + 1);
    ASSERT(whole.err == split.err && whole.taken == split.taken && whole.status == split.status &&
           whole.retry_after_ms == split.retry_after_ms && strcmp(whole.line, split.line) == 0);
    if (whole.err == OK)
        ASSERT(whole.status == 101);
    return 0;
}
