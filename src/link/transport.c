/* The plain transport: the port's read and write, nothing kept. */
#include "link/transport.h"

#include "port.h"

static enum err tcp_recv(struct transport *transport, void *to, size_t n, size_t *got)
{
    transport->recv_wants = PORT_READABLE;
    return port_read(transport->fd, to, n, got);
}

static enum err tcp_send(struct transport *transport, struct str bytes, size_t *put)
{
    transport->send_wants = PORT_WRITABLE;
    return port_write(transport->fd, bytes, put);
}

struct transport transport_tcp(int fd)
{
    return (struct transport){.recv = tcp_recv,
                              .send = tcp_send,
                              .recv_wants = PORT_READABLE,
                              .send_wants = PORT_WRITABLE,
                              .fd = fd};
}

const char *transport_error(const struct transport *transport)
{
    return transport->error != NULL ? transport->error : port_last_error();
}

void transport_end(struct transport *transport)
{
    if (transport->end != NULL)
        transport->end(transport);
    transport->end = NULL;
}
