/* In the place of the other tls*.c where TLS is not built in. */
#include "link/tls.h"

#include <string.h>

void tls_clear(struct tls *tls)
{
    memset(tls, 0, sizeof *tls);
    (void)str_copy(STR("TLS: this build has none"), tls->error, sizeof tls->error);
}

enum err tls_start(struct tls *tls, const struct tls_options *options, const char *host,
                   unsigned port, int fd)
{
    (void)tls;
    (void)options;
    (void)host;
    (void)port;
    (void)fd;
    return ERR_UNSUPPORTED;
}

enum err tls_step(struct tls *tls, unsigned *wants)
{
    (void)tls;
    *wants = 0;
    return ERR_UNSUPPORTED;
}

void tls_end(struct tls *tls)
{
    (void)tls;
}

void tls_forget(struct tls *tls)
{
    (void)tls;
}
