/* The inside of the control room: a client's place (client.c) and its subscription (follow.c). */
#ifndef CONTROL_CLIENT_H
#define CONTROL_CLIENT_H

#include "control/control.h"

struct control_client *client_of(struct rpc_peer *peer);
/* Takes a free place for a connection.  ERR_FULL: the loop has no room; nothing was taken. */
enum err client_open(struct control *control, struct control_client *client, int fd, int64_t uid);
void client_close(struct control_client *client);
/* Dispatches what found no room before, and lines that were read already. */
void client_retry(struct control_client *client);
/* After the commit: tells events, writes, and closes the client when it is time. */
void client_serve(struct control_client *client);
/* Writes what it takes at once. */
void client_write(struct control_client *client);
/* Monotonic time at which its half line has had its time; -1: none. */
int64_t client_due_ms(const struct control_client *client);

/* Gives its buffers back where nothing stands in them. */
void client_rest(struct control_client *client);

/* Copies what its subscription wants of the journal, as far as there is room. */
void follow_tell(struct control_client *client);

/* A descriptor came free (control.c). */
void control_listen_again(struct control *control);

#endif
