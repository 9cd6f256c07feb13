/* Whom the kernel ends when memory runs out.  A score is only ever raised: lowering takes a
 * privilege, and would shield a child at the cost of the daemon. */
#include "../posix/internal.h"

#include <fcntl.h>
#include <unistd.h>

#define SCORE_MAX 1000

void port_raise_oom_score(int by)
{
    char text[16];
    int64_t score = 0;
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd == -1)
        return; /* no such thing here */
    ssize_t got = read(fd, text, sizeof text);
    if (got > 0 && str_to_i64(str_trim(str_range(text, (size_t)got)), &score)) {
        score = score + by > SCORE_MAX ? SCORE_MAX : score + by;
        size_t n = sizeof text;
        int64_t rest = score < 0 ? -score : score;
        do
            text[--n] = (char)('0' + rest % 10);
        while ((rest /= 10) > 0);
        if (score < 0)
            text[--n] = '-';
        got = pwrite(fd, text + n, sizeof text - n, 0);
    }
    close(fd);
}
