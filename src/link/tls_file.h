/* Files of certificates, keys and CRLs as streams: PEM with any text around the blocks, or one DER object.  A file of any
 * size is read through 1 KiB; a block can be read again from its start. */
#ifndef LINK_TLS_FILE_H
#define LINK_TLS_FILE_H

#include "base/err.h"
#include "base/str.h"

struct tls_file {
    char label[32]; /* of the present block: "CERTIFICATE"; "" in a DER file */
    bool encrypted; /* it has the header lines of an encrypted key */

    /* tls_file.c's */
    int fd;
    bool is_pem, ended, padded;
    unsigned held; /* bits of the base64 that are decoded and not given yet */
    uint32_t bits;
    int64_t start;  /* of the present block's contents */
    int64_t offset; /* of bytes[0] in the file */
    size_t at, n;
    char bytes[1024];
};

/* ERR_INVALID: no regular file; all else as the port says.  Ends with tls_file_close(). */
enum err tls_file_open(struct tls_file *file, const char *path);
void tls_file_close(struct tls_file *file);
/* The next block; what is left of the present one is skipped.  ERR_END: there is none. */
enum err tls_file_next(struct tls_file *file);
/* Back to the start of the block. */
enum err tls_file_again(struct tls_file *file);
/* Exactly n bytes of the block's contents; ERR_SYNTAX: it ends before, or is no base64. */
enum err tls_file_get(struct tls_file *file, void *to, size_t n);
/* The head of a DER object: its tag and the length of what follows; `raw`, with the head's bytes as they stand, has room for 6. */
enum err tls_file_head(struct tls_file *file, unsigned *tag, size_t *length, unsigned char *raw,
                       size_t *raw_n);
/* A head that must have this tag. */
enum err tls_file_enter(struct tls_file *file, unsigned tag, size_t *length);
enum err tls_file_skip(struct tls_file *file, size_t n);

#endif
