/* In the place of proxy.c where proxies are not built in. */
#include "link/proxy.h"

bool proxy_url_is_good(const char *url, const char **reason)
{
    (void)url;
    *reason = "this build knows no proxies";
    return false;
}

enum err proxy_choose(const struct proxy_options *options, const struct url *target,
                      struct url *proxy, const char **source, const char **reason)
{
    (void)options;
    (void)target;
    (void)proxy;
    (void)source;
    (void)reason;
    return ERR_NOT_FOUND;
}

bool proxy_is_bypassed(struct str list, const struct url *target)
{
    (void)list;
    (void)target;
    return true;
}

void proxy_write_request(struct out *out, const struct url *target, struct str credentials)
{
    (void)out;
    (void)target;
    (void)credentials;
}

bool proxy_credentials_are_good(struct str credentials)
{
    (void)credentials;
    return false;
}

enum err proxy_feed(struct answer *answer, struct str bytes, size_t *taken)
{
    (void)bytes;
    *taken = 0;
    return answer_refuse(answer, "this build knows no proxies");
}
