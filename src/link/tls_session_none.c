/* In the place of tls_session.c where no session is resumed. */
#include "link/tls_engine.h"

void tls_session_offer(struct tls *tls)
{
    (void)tls;
}

void tls_session_keep(struct tls *tls)
{
    (void)tls;
}
