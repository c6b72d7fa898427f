// Debian's libzstd, for the RAM of suspended machines (RFC 8878).
#include <zstd.h>
