/* What src/ uses of C11, in C99's words: libcharter-integration is compiled as C99, with this in front of every source. */
#ifndef SDK_C99_H
#define SDK_C99_H

#if __STDC_VERSION__ < 201112L
#define _Static_assert(condition, message)                                                         \
    extern const char sdk_static_assertion[(condition) ? 1 : -1]
#if defined(__GNUC__)
#define _Noreturn __attribute__((__noreturn__))
#else
#define _Noreturn
#endif
#endif

/* What other rooms print messages with, see sdk/format.c. */
#define out_vformat_cut sdk_vformat_cut

#endif
