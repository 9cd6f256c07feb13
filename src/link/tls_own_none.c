/* In the place of tls_own.c where the client shows no certificate. */
#include "link/tls_engine.h"

bool tls_own_load(struct tls *tls)
{
    (void)tls;
    return true;
}
