// The steps that bind the process to a landlock ruleset (landlock(7)): one makes it, one adds each rule, the last obeys it.
#include "init.h"

// linux/landlock.h of Debian 12 knows the first version only; later fields stand behind the earlier ones.
struct ruleset_attributes { uint64_t file_system, network, scoped; };
struct __attribute__((packed)) path_rule { uint64_t allowed; int32_t parent; };
struct port_rule { uint64_t allowed, port; };
enum { rule_path = 1, rule_port = 2 };
/// What can be allowed for a file that is no directory: execute, write_file, read_file, truncate, ioctl_dev.
enum { file_rights = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15 };

static void make_ruleset(struct init *init, const struct guise_step *step) {
    struct ruleset_attributes attributes = {step->a, step->b, step->c};
    // Kernels that do not know the later fields want them out of sight.
    unsigned long size = step->c ? sizeof attributes : step->b ? 16 : 8;
    init->ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
    if (init->ruleset < 0) guise_fail(init, step, "landlock_create_ruleset", 0);
}

static void allow_path(struct init *init, const struct guise_step *step) {
    const char *path = guise_text(init, step->text);
    int parent = open(path, O_PATH | O_CLOEXEC);
    struct stat status;
    if (parent < 0 || fstat(parent, &status) != 0) guise_fail(init, step, "open", path);
    struct path_rule rule = {S_ISDIR(status.st_mode) ? step->a : step->a & file_rights, parent};
    // A rule that allows nothing is refused by the kernel, and changes nothing.
    if (rule.allowed && syscall(SYS_landlock_add_rule, init->ruleset, rule_path, &rule, 0) != 0)
        guise_fail(init, step, "landlock_add_rule", path);
    close(parent);
}

static void allow_port(struct init *init, const struct guise_step *step) {
    struct port_rule rule = {step->a, step->b};
    if (syscall(SYS_landlock_add_rule, init->ruleset, rule_port, &rule, 0) != 0) guise_fail(init, step, "landlock_add_rule", 0);
}

void guise_step_landlock(struct init *init, const struct guise_step *step) {
    switch (step->operation) {
    case guise_op_landlock_ruleset: make_ruleset(init, step); break;
    case guise_op_landlock_path: allow_path(init, step); break;
    case guise_op_landlock_port: allow_port(init, step); break;
    default:
        if (syscall(SYS_landlock_restrict_self, init->ruleset, 0) != 0) guise_fail(init, step, "landlock_restrict_self", 0);
        close(init->ruleset);
    }
}
