/* CRC-32C (Castagnoli; RFC 3720, appendix B.4): the journal's checksum.  Finds torn and rotten
 * records; no defence against somebody who means harm. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include "base/str.h"

/* Start with 0; feed the last answer to go on. crc32c(0, "123456789") is 0xe3069283. */
uint32_t crc32c(uint32_t crc, struct str bytes);
/* The same without help of the processor: what the other one does where there is none. */
uint32_t crc32c_by_table(uint32_t crc, struct str bytes);

#endif
