/* Assertions of our own invariants; they stay on in every build.  Never for outside bytes. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#define ASSERT(condition) ((condition) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__))
#define UNREACHABLE() assert_failed("unreachable", __FILE__, __LINE__)

/* Says where on stderr and ends the process with SIGABRT. */
_Noreturn void assert_failed(const char *condition, const char *file, int line);

#endif
