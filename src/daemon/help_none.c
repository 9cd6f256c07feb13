/* In the place of help.c where the manual page alone explains the flags. */
#include "daemon/options.h"

const char options_help[] =
    "usage: charter-daemon COMMAND [--FLAG VALUE]...; see charter-daemon(8)\n";
