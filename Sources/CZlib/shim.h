// Debian's zlib, for kernels compressed with gzip (RFC 1952).
#include <zlib.h>
