// The setup program of a container process: what the runtime (Swift) decides and what the process between clone and exec
// (C, no Swift runtime) carries out, step by step. One block of bytes without pointers; texts are offsets into it.
// `init.c` runs it; docs/containers.md tells why it is cut so.
#pragma once
#include <stdint.h>

/// What one step does. `text`… are strings in the plan, `a`… numbers; a list is `a` strings, each with its NUL, at `text2`.
enum guise_operation {
    /// setns(descriptor a, namespace types b), unless done. Optional: want of privilege is not an error yet.
    guise_op_join = 1,
    /// unshare(a).
    guise_op_unshare,
    /// Puts the calling process into the cgroup whose open `tasks` (v1) or `cgroup.procs` (v2) file is descriptor a.
    guise_op_cgroup,
    /// Goes on in a new process with the namespaces a, in the v2 cgroup of directory b - 1 unless b is 0; the old one tells
    /// the runtime the new one's number and ends.
    guise_op_clone,
    /// Tells the runtime that point a is reached and waits for its word.
    guise_op_sync,
    /// Writes text2 to the file text of the host's /proc/self.
    guise_op_write_self,
    /// Becomes user and group 0 of a new user namespace.
    guise_op_become_root,
    /// Opens /proc/self of the host's procfs for later steps.
    guise_op_open_proc,
    /// mount(NULL, "/", propagation a).
    guise_op_propagation,
    /// Binds the root file system text onto itself with propagation b; with c its parent mount becomes private first.
    guise_op_root,
    /// Mounts a new file system: type text, source text3, options list text2, attributes b, target text4. See flags below.
    guise_op_mount,
    /// Binds text3 to text4 and sets attributes b, clears attributes c.
    guise_op_bind,
    /// Changes the mount at text4 (mount(2) with MS_REMOUNT and flags b, data text2).
    guise_op_remount,
    /// Sets the propagation of the mount at text4 to b.
    guise_op_propagate,
    /// Sets attributes b and clears c on the mount at text4 and, with guise_flag_recursive, below.
    guise_op_attributes,
    /// Makes the directory text4 with mode a.
    guise_op_directory,
    /// Makes the symbolic link text4 to text; an existing name stays.
    guise_op_symlink,
    /// Makes the node text4: mode a with type, device b, owner c (group in the high word); text is the host's node.
    guise_op_node,
    /// Runs a hook: path text, arguments list text2 (count a), environment list text3 (count b), `flags` seconds (0: none),
    /// standard input descriptor c.
    guise_op_hook,
    /// Opens a terminal of the container's devpts, sends its master to descriptor a; b is rows << 16 | columns.
    guise_op_console,
    /// Makes text4 unreadable.
    guise_op_mask,
    /// Makes text4 and what is below read-only.
    guise_op_readonly,
    /// Makes the root file system the process's root.
    guise_op_pivot,
    /// Only chroot: without a mount namespace.
    guise_op_chroot,
    /// The root is the one of the mount namespace that was joined.
    guise_op_reroot,
    guise_op_hostname,
    guise_op_domainname,
    /// Writes text2 to the file text below the host's /proc/sys.
    guise_op_sysctl,
    /// setrlimit(flags, a soft, b hard).
    guise_op_rlimit,
    /// sched_setattr: flags policy, a nice as int32, b priority, text2 bytes of struct sched_attr.
    guise_op_scheduler,
    /// ioprio_set(process, a).
    guise_op_ioprio,
    /// sched_setaffinity of a bytes at text2.
    guise_op_affinity,
    guise_op_personality,
    /// set_mempolicy(a mode with flags, mask of b bytes at text2).
    guise_op_memory_policy,
    /// A new session keyring named text.
    guise_op_keyring,
    /// Looks for the program text in PATH of the plan's environment and remembers it.
    guise_op_find,
    /// Tells the runtime that the container is created, then waits on the listening socket a for the word to start.
    guise_op_wait_start,
    /// A new session; with guise_flag_terminal the console becomes its terminal and descriptors 0 to 2.
    guise_op_session,
    /// Drops from the bounding set what is not in a.
    guise_op_bounding,
    /// User a, group b, `flags` supplementary groups (uint32 at text2); with c no setgroups.
    guise_op_user,
    /// effective a, permitted b, inheritable c; ambient as uint64 at text2.
    guise_op_capabilities,
    guise_op_no_new_privileges,
    /// Installs the filter of a instructions at text2 with seccomp flags b; with c its listener goes to the socket c - 1,
    /// with what the file text4 - 1 holds.
    guise_op_seccomp,
    guise_op_umask,
    /// Closes all descriptors but 0, 1, 2, the a after them, b - 1 and c - 1; then changes to directory text.
    guise_op_directory_change,
    /// Executes the program found: arguments list text2 (count a), environment list text3 (count b).
    guise_op_execute,
    /// prctl(PR_SET_DUMPABLE, a).
    guise_op_dumpable,
    /// A landlock ruleset that handles the rights a (files), b (ports) and c (scopes).
    guise_op_landlock_ruleset,
    /// Allows a below the path text.
    guise_op_landlock_path,
    /// Allows a at the TCP port b.
    guise_op_landlock_port,
    /// Obeys the ruleset from now on.
    guise_op_landlock_restrict,
};

enum guise_step_flag {
    guise_flag_recursive = 1,
    /// Copies what the target held into the new tmpfs.
    guise_flag_copy_up = 2,
    /// The target must not be made.
    guise_flag_no_create = 4,
    /// The source is the detached mount in descriptor a: the runtime has idmapped it, for which a process in a user namespace has no
    /// privilege.
    guise_flag_idmap = 8,
    /// Of guise_idmapped_tree: the ids go for submounts too.
    guise_flag_idmap_recursive = 16,
    /// The attributes go for submounts too; otherwise only for the mount itself.
    guise_flag_attributes_recursive = 32,
    /// Refused by the kernel for want of privilege in a user namespace: bind the host's instead.
    guise_flag_bind_fallback = 64,
    guise_flag_terminal = 128,
    guise_flag_no_pivot = 256,
    guise_flag_optional = 512,
    /// The source's own last symbolic link is not followed.
    guise_flag_no_follow = 1024,
};

/// One step; the label is what errors name, usually a place in config.json such as `mounts[2]`.
struct guise_step {
    uint32_t operation, flags;
    uint64_t a, b, c;
    uint32_t text, text2, text3, text4;
    uint32_t label, reserved;
};

enum { guise_plan_magic = 0x6e6c7067 };
struct guise_plan_header {
    uint32_t magic, size;
    uint32_t steps, step_count;
    // The environment for guise_op_find: offset and count of strings.
    uint32_t environment, environment_count;
};

/// What the process tells the runtime, one datagram each; also through the start socket.
enum guise_message_kind { guise_message_error = 1, guise_message_pid, guise_message_sync, guise_message_ready };
struct guise_message {
    uint32_t kind;
    /// errno of an error.
    int32_t code;
    /// Process number, or the point of a sync.
    int64_t value;
    /// Of an error: label, NUL, failed call, NUL, detail, NUL.
    char text[1000];
};

/// argv[0] of the process that runs a plan: arguments are the plan's and the channel's descriptor numbers.
#define guise_init_name "guise-container-init"
