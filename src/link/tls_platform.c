/* Owns what mbedTLS asks of a platform: memory from the pool, both clocks and random bytes from the port. */
#include "link/tls_engine.h"

#include "base/out.h"
#include "port.h"

#include <mbedtls/memory_buffer_alloc.h>
#include <mbedtls/platform.h>
#include <mbedtls/platform_time.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/ssl.h>
#include <psa/crypto.h>
#include <string.h>

static mbedtls_time_t wall_clock(mbedtls_time_t *to)
{
    mbedtls_time_t now = (mbedtls_time_t)(port_wall_ms() / 1000);
    if (to != NULL)
        *to = now;
    return now;
}

mbedtls_ms_time_t mbedtls_ms_time(void)
{
    return port_monotonic_ms();
}

/* Days since 1970-01-01 to a date of the Gregorian calendar, in eras of 400 years that begin on a first of March. */
struct tm *mbedtls_platform_gmtime_r(const mbedtls_time_t *time, struct tm *to)
{
    int64_t seconds = (int64_t)*time, days = seconds / 86400, left = seconds % 86400;

    if (left < 0) {
        left += 86400;
        days--;
    }
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t day = shifted - era * 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t of_year = day - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;

    memset(to, 0, sizeof *to);
    to->tm_mday = (int)(of_year - (153 * month + 2) / 5 + 1);
    to->tm_mon = (int)(month < 10 ? month + 2 : month - 10);
    to->tm_year = (int)(year + era * 400 + (month >= 10 ? 1 : 0) - 1900);
    to->tm_hour = (int)(left / 3600);
    to->tm_min = (int)(left / 60 % 60);
    to->tm_sec = (int)(left % 60);
    return to;
}

/* What a distribution's mbedTLS does not ask for: it has libc's. */
int tls_snprintf(char *to, size_t size, const char *format, ...)
{
    struct out out = out_on(to, size);
    va_list args;

    va_start(args, format);
    out_vformat_cut(&out, format, args);
    va_end(args);
    /* A text that was cut is as long as its buffer, NUL included: mbedTLS takes that for too long. */
    bool is_cut = out.n + 1 >= size;
    if (size > 0)
        out_cstr(&out);
    return (int)(is_cut ? size : out.n);
}

int tls_random(void *context, unsigned char *to, size_t n)
{
    (void)context;
    return port_random(to, n) == OK ? 0 : MBEDTLS_ERR_SSL_HW_ACCEL_FAILED;
}

psa_status_t mbedtls_psa_external_get_random(mbedtls_psa_external_random_context_t *context,
                                             uint8_t *output, size_t output_size,
                                             size_t *output_length)
{
    (void)context;
    *output_length = 0;
    if (port_random(output, output_size) != OK)
        return PSA_ERROR_INSUFFICIENT_ENTROPY;
    *output_length = output_size;
    return PSA_SUCCESS;
}

bool tls_pool_open(struct tls *tls)
{
    (void)mbedtls_platform_set_time(wall_clock);
    mbedtls_memory_buffer_alloc_init(tls->pool, sizeof tls->pool);
    return psa_crypto_init() == PSA_SUCCESS;
}

/* The largest free block is taken, its pages are let go, and it is given back: what stands in free memory counts for
 * nothing, and it is zeroed when it is taken again. */
void tls_pool_trim(void)
{
    for (size_t n = CONFIG_TLS_POOL_KIB * 1024; n >= 4096; n -= 1024) {
        void *block = mbedtls_calloc(1, n);
        if (block == NULL)
            continue;
        port_release(block, n);
        mbedtls_free(block);
        return;
    }
}

bool tls_pool_is_short(void)
{
    void *block = mbedtls_calloc(1, 8192);

    mbedtls_free(block);
    return block == NULL;
}

void tls_pool_close(struct tls *tls)
{
    mbedtls_psa_crypto_free();
    mbedtls_memory_buffer_alloc_free();
    port_wipe(tls->pool, sizeof tls->pool);
    port_release(tls->pool, sizeof tls->pool);
}
