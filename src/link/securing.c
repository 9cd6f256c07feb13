/* Owns the time between a connected socket and an open transport: the TLS handshake, a step at a time, with the loop
 * turning between the steps. */
#include "link/session.h"

void link_connected(struct link *link, int fd)
{
    if (!link->url.secure) {
        link_attach(link, transport_tcp(fd));
        return;
    }
    if (!link_watch(link, fd))
        return;
    link->transport = (struct transport){.fd = fd};
    link->after = LINK_AFTER_BACKOFF;
    link->after_ms = 0;
    link_enter(link, LINK_EVENT_SECURE);
    if (tls_start(&link->tls, &link->options.tls, link->url.host, link->url.port, fd) != OK)
        link_lost(link, LINK_AFTER_BACKOFF, "%s", link->tls.error);
    else
        loop_timer_set(link->loop, &link->again, link->loop->now_ms);
}

void link_secure(struct link *link)
{
    unsigned wants = 0;
    enum err err = tls_step(&link->tls, &wants);

    if (err == OK) {
        link_attach(link, link->tls.transport);
    } else if (err != ERR_AGAIN) {
        link_lost(link, LINK_AFTER_BACKOFF, "%s", link->tls.error);
    } else {
        link->socket.wanted = (unsigned char)wants;
        if (wants == 0)
            loop_timer_set(link->loop, &link->again, link->loop->now_ms);
    }
}
