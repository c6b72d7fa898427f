// What the files of the plan's interpreter share. See include/container_plan.h.
#pragma once
#define _GNU_SOURCE
#include "container_plan.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif

/// The process's own state while it runs the plan.
struct init {
    char *plan;
    unsigned long size;
    const struct guise_plan_header *header;
    /// To the runtime; replaced by the connection of `start` once that has come.
    int channel;
    /// The container's root file system, once mounted.
    int root;
    /// /proc/self of the host.
    int proc;
    int console;
    /// A tmpfs without content, for masked directories.
    int empty;
    /// The landlock ruleset.
    int ruleset;
    const char *program;
    /// CLONE_NEW… of the namespaces joined.
    uint64_t joined;
};

/// Reports errno, the step and the call, and ends the process.
_Noreturn void guise_fail(struct init *init, const struct guise_step *step, const char *call, const char *detail);
/// The string at an offset; "" for 0 and for what is outside of the plan.
const char *guise_text(const struct init *init, uint32_t offset);
/// The `count` strings at an offset as a null-terminated array.
char **guise_list(struct init *init, const struct guise_step *step, uint32_t offset, uint64_t count);
int guise_send_message(int channel, uint32_t kind, int code, int64_t value, const char *text, unsigned long length);

/// Opens a path below the root without leaving it. O_PATH unless `flags` say otherwise.
int guise_resolve(struct init *init, const char *path, int flags);
enum { guise_make_directory, guise_make_file, guise_make_nothing };
/// The same for a mount's target, made with its parents when it is missing.
int guise_target(struct init *init, const char *path, int make);
/// The directory of the last component, made when missing; *name receives that component.
int guise_parent(struct init *init, const char *path, char *name, unsigned long capacity);

int guise_open_tree(int directory, const char *path, unsigned flags);
int guise_move_mount(int tree, int target);
int guise_mount_attributes(int mount, uint64_t set, uint64_t clear, uint64_t propagation, int userns, int recursive);
/// Copies the content of one directory into another. -1 with errno on failure.
int guise_copy_tree(int from, int to, int depth);

void guise_step_root(struct init *, const struct guise_step *);
void guise_step_mount(struct init *, const struct guise_step *);
void guise_step_bind(struct init *, const struct guise_step *);
void guise_step_remount(struct init *, const struct guise_step *);
void guise_step_attributes(struct init *, const struct guise_step *);
void guise_step_mask(struct init *, const struct guise_step *);
void guise_step_readonly(struct init *, const struct guise_step *);
void guise_step_pivot(struct init *, const struct guise_step *);
void guise_step_directory(struct init *, const struct guise_step *);
void guise_step_symlink(struct init *, const struct guise_step *);
void guise_step_node(struct init *, const struct guise_step *);
void guise_step_console(struct init *, const struct guise_step *);
void guise_step_session(struct init *, const struct guise_step *);
void guise_step_hook(struct init *, const struct guise_step *);
void guise_step_sysctl(struct init *, const struct guise_step *);
void guise_step_find(struct init *, const struct guise_step *);
void guise_step_user(struct init *, const struct guise_step *);
void guise_step_bounding(struct init *, const struct guise_step *);
void guise_step_capabilities(struct init *, const struct guise_step *);
void guise_step_seccomp(struct init *, const struct guise_step *);
void guise_step_change_directory(struct init *, const struct guise_step *);
void guise_step_execute(struct init *, const struct guise_step *);
void guise_step_scheduler(struct init *, const struct guise_step *);
void guise_step_landlock(struct init *, const struct guise_step *);
