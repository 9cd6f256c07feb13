/* In the place of tls_trust.c where no CA is asked: a pin must vouch for the gateway, and without one there is no connection. */
#include "link/tls_engine.h"

bool tls_trust_find(struct tls_judge *judge)
{
    tls_object(judge,
               "this build asks no CAs (TLS_CA): the gateway's key must be pinned, with --tls-pin");
    return false;
}

int tls_trust_look_up(void *context, const mbedtls_x509_crt *child, mbedtls_x509_crt **found)
{
    struct tls_judge *judge = context;

    *found = NULL;
    if (judge->own == NULL)
        judge->own = child; /* the first to be asked for is the gateway's own */
    return 0;
}
