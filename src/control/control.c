#include "control/client.h"

#include "base/log.h"
#include "port.h"

#include <string.h>

#define LISTEN_AGAIN_MS 1000

void control_retry(struct control *control)
{
    if (control->listener.wanted == 0 && control->loop->now_ms >= control->listen_at_ms)
        control_listen_again(control);
    for (size_t i = 0; i < LIMIT_CLIENTS; i++)
        if (control->clients[i].open)
            client_retry(&control->clients[i]);
}

void control_after_commit(struct control *control)
{
    for (size_t i = 0; i < LIMIT_CLIENTS; i++)
        if (control->clients[i].open)
            client_serve(&control->clients[i]);
}

void control_rest(struct control *control)
{
    size_t from = 0;

    for (size_t i = 0; i <= LIMIT_CLIENTS; i++) {
        if (i < LIMIT_CLIENTS && !control->clients[i].open)
            continue;
        if (i > from) /* what closed ones share pages with, too */
            port_release(&control->buffers[from], (i - from) * sizeof control->buffers[0]);
        from = i + 1;
        if (i < LIMIT_CLIENTS)
            client_rest(&control->clients[i]);
    }
}

int64_t control_next_ms(const struct control *control)
{
    int64_t next = control->listener.wanted == 0 ? control->listen_at_ms : -1;
    for (size_t i = 0; i < LIMIT_CLIENTS; i++)
        if (control->clients[i].open)
            next = loop_earlier(next, client_due_ms(&control->clients[i]));
    return next;
}

/* --- the listener --------------------------------------------------------------------------------------------------------------- */

static void refuse_crowd(int fd)
{
    char bytes[256];
    struct out out = OUT_ON(bytes);
    struct rpc_error error;
    size_t put;

    rpc_error_set(&error, RPC_BUSY, "busy: %d clients are connected already", LIMIT_CLIENTS);
    (void)str_copy(STR("{\"retry_after_ms\":1000}"), error.data, sizeof error.data);
    rpc_write_error(&out, STR_NONE, &error);
    out_byte(&out, '\n');
    (void)port_write(fd, out_view(&out), &put); /* a fresh socket takes so little at once */
}

static struct control_client *find_place(struct control *control)
{
    for (size_t i = 0; i < LIMIT_CLIENTS; i++)
        if (!control->clients[i].open)
            return &control->clients[i];
    return NULL;
}

static void admit(struct control *control, int fd, int64_t uid)
{
    struct control_client *client = find_place(control);

    if (client == NULL || client_open(control, client, fd, uid) != OK) {
        refuse_crowd(fd);
        port_close(fd);
    }
}

void control_listen_again(struct control *control)
{
    control->listener.wanted = PORT_READABLE;
}

static void on_listener(struct loop_fd *node, unsigned ready)
{
    struct control *control = node->context;
    struct port_credentials peer;
    int fd;
    (void)ready;

    for (int i = 0; i < 8; i++) {
        enum err err = port_accept(node->fd, &fd);
        if (err == ERR_FULL) {
            /* No descriptor is left: whoever waits is heard when a client closes, or a while later, as others close descriptors
             * too. */
            node->wanted = 0;
            control->listen_at_ms = control->loop->now_ms + LISTEN_AGAIN_MS;
        }
        if (err != OK)
            return;
        err = port_peer(fd, &peer);
        /* Where the system cannot tell who it is, the modes of the socket and of its directory are the guard: it is our user, or root. */
        if (err == ERR_UNSUPPORTED) {
            err = OK;
            peer.uid = port_uid();
        }
        if (err != OK || (peer.uid != port_uid() && peer.uid != 0)) {
            log_warning("control", "a client of another user was refused");
            port_close(fd);
            continue;
        }
        admit(control, fd, peer.uid);
    }
}

/* A path too long for a socket's address gets a short one elsewhere, and the project says where. */
static enum err choose_path(struct control *control, const char *charter_directory)
{
    const char *runtime = port_environment("XDG_RUNTIME_DIR");
    struct out out = OUT_ON(control->path);
    char directory[LIMIT_PATH];
    unsigned char random[8];

    out_format(&out, "%s/daemon.addr", charter_directory);
    (void)str_copy(out_view(&out), control->address_file, sizeof control->address_file);
    out_reset(&out);
    out_format(&out, "%s/daemon.sock", charter_directory);
    out_cstr(&out);
    (void)port_unlink(control->path);
    (void)port_unlink(control->address_file);
    if (strlen(control->path) <= port_local_path_max()) {
        control->address_file[0] = '\0';
        return OK;
    }
    struct out place = OUT_ON(directory);
    if (runtime != NULL && runtime[0] == '/') {
        out_text(&place, runtime);
    } else {
        out_format(&place, "/tmp/charter-%lld", (long long)port_uid());
        enum err err = port_make_directory(out_cstr(&place), 0700);
        struct port_stat stat;
        if (err != OK && err != ERR_EXISTS)
            return err;
        if (port_stat(directory, &stat) != OK || stat.kind != PORT_DIRECTORY ||
            stat.uid != port_uid() || port_set_mode(directory, 0700) != OK)
            return ERR_DENIED; /* somebody else's, who could put a socket of their own in it */
    }
    enum err err = port_random(random, sizeof random);
    if (err != OK)
        return err;
    out_reset(&out);
    out_text(&out, out_cstr(&place));
    out_text(&out, "/charter-");
    out_hex(&out, random, sizeof random);
    out_text(&out, ".sock");
    out_cstr(&out);
    return strlen(control->path) <= port_local_path_max() ? OK : ERR_TOO_LARGE;
}

static enum err write_address(struct control *control)
{
    size_t put;
    int fd;

    if (control->address_file[0] == '\0')
        return OK;
    enum err err = port_open(control->address_file, PORT_TRUNCATE, &fd);
    if (err != OK)
        return err;
    err = port_write(fd, str_of(control->path), &put);
    if (err == OK)
        err = port_write(fd, STR("\n"), &put);
    port_close(fd);
    return err;
}

enum err control_start(struct control *control, struct loop *loop, struct journal *journal,
                       const char *charter_directory, const struct rpc_dispatcher *dispatcher,
                       control_find_run *find_run, void *find_run_context)
{
    control->loop = loop;
    control->journal = journal;
    control->dispatcher = dispatcher;
    control->find_run = find_run;
    control->find_run_context = find_run_context;
    control->listener = (struct loop_fd){
        .fd = -1, .wanted = PORT_READABLE, .on_ready = on_listener, .context = control};
    enum err err = choose_path(control, charter_directory);
    if (err == OK)
        err = port_listen_local(control->path, LIMIT_CLIENTS, &control->listener.fd);
    if (err == OK)
        err = write_address(control);
    if (err == OK)
        err = loop_add(loop, &control->listener);
    return err;
}

void control_stop(struct control *control)
{
    for (size_t i = 0; i < LIMIT_CLIENTS; i++)
        if (control->clients[i].open) {
            client_write(&control->clients[i]);
            client_close(&control->clients[i]);
        }
    if (control->listener.fd >= 0) {
        loop_remove(control->loop, &control->listener);
        port_close(control->listener.fd);
        control->listener.fd = -1;
        (void)port_unlink(control->path);
    }
    if (control->address_file[0] != '\0')
        (void)port_unlink(control->address_file);
}
