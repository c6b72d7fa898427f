// Switches the kernel's fault-around off for the program's own file. At a fault in a mapped file Linux maps up to sixteen pages at
// once; a short-lived program whose code lies scattered over megabytes then has most of its file resident though it runs a tenth
// of it. A mapping that is registered with userfaultfd for write-protection takes its pages one by one (mm/memory.c,
// should_fault_around). Nothing is ever write-protected here, so no fault is reported and nobody has to read the descriptor; it is
// open until the program ends, because closing it undoes the registration.
//
// Since Linux 6.7 (UFFD_FEATURE_WP_ASYNC, without which file mappings cannot be registered). Where the kernel or a filter around
// the program refuses it, the program is merely larger.
#define _GNU_SOURCE
#include "single_pages.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
/// Above the descriptors that a caller hands down.
enum { descriptor_min = 512 };

// After the priority of CContainerInit's constructor, which does not return in a process that is small anyway.
__attribute__((constructor(102))) static void map_pages_singly(void) {
    // The linker's names for the first byte of the file in memory and the end of all sections.
    extern const char __executable_start[], end[];
    int low = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (low < 0) return;
    int file = fcntl(low, F_DUPFD_CLOEXEC, descriptor_min);
    close(low);
    if (file < 0) return;
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC};
    const unsigned long page = 4096;
    struct uffdio_register image = {
        .range = {.start = (unsigned long)__executable_start & -page}, .mode = UFFDIO_REGISTER_MODE_WP,
    };
    image.range.len = (((unsigned long)end + page - 1) & -page) - image.range.start;
    if (ioctl(file, UFFDIO_API, &api) != 0 || ioctl(file, UFFDIO_REGISTER, &image) != 0) close(file);
}
