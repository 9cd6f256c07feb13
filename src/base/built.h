/* What is built in, as a constant for `if`: what is left out is compiled all the same, and then thrown away, so that no
 * configuration can break it unseen.  For large pieces the Makefile's TWINS are the better way. */
#ifndef BASE_BUILT_H
#define BASE_BUILT_H

#include "autoconf.h"

/* BUILT_IN(CONFIG_TLS) is 1 where the feature is on, else 0.  Kconfig defines the symbol as 1, or not at all: only then does pasting
 * make a comma, which moves the 1 into the second place. */
#define BUILT_IN(symbol) BUILT_IN_VALUE(symbol)
#define BUILT_IN_VALUE(value) BUILT_IN_PASTED(BUILT_IN_COMMA_##value)
#define BUILT_IN_PASTED(comma_or_nothing) BUILT_IN_SECOND(comma_or_nothing 1, 0, 0)
#define BUILT_IN_COMMA_1 0,
#define BUILT_IN_SECOND(first, second, ...) second

#endif
