/* charter-gateway: reads its command line and runs. */
#include "gateway/gateway.h"
#include "gateway/options.h"

static struct gateway gateway; /* too large for a stack; nothing else knows this name */

int main(int argc, char **argv)
{
    struct gateway_options options;
    char text[256];
    struct out why = OUT_ON(text);

    switch (gateway_options_read(argc, argv, &options, &why)) {
    case GATEWAY_OPTIONS_HELP:
        (void)port_stdout(str_of(gateway_options_help()));
        return 0;
    case GATEWAY_OPTIONS_VERSION:
        (void)port_stdout(STR("charter-gateway " CHARTER_VERSION "\n"));
        return 0;
    case GATEWAY_OPTIONS_WRONG:
        port_stderr(STR("charter-gateway: "));
        port_stderr(str_of(out_cstr(&why)));
        port_stderr(STR("; see charter-gateway --help\n"));
        return 2;
    case GATEWAY_OPTIONS_RUN:
        break;
    }
    log_setup(options.log_level, LOG_TEXT);
    return gateway_run(&gateway, &options);
}
