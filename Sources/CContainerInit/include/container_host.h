// System calls of the container runtime that Swift's Glibc module does not show. Failures return -1 and set errno.
#pragma once
#include "container_plan.h"
#include <stdint.h>

/// A descriptor of this program's file that nobody can write through, whoever gets hold of /proc/PID/exe of a process that
/// executes it: a read-only mount of its own, or a sealed copy in memory where mounting is not allowed.
int guise_container_executable(void);
/// Starts this program (descriptor `executable`) as the interpreter of the plan in `plan`, with `channel` to the runtime and the
/// `count` descriptors of `keep` open. Returns its process number; *pidfd receives a pidfd unless null.
int guise_container_spawn(int executable, int plan, int channel, const int *keep, int count);

/// The version of landlock that this kernel obeys; 0 for none.
int guise_landlock_version(void);
int guise_pidfd_open(int pid);
int guise_pidfd_send_signal(int pidfd, int signal);
int guise_setns(int descriptor, int types);
/// openat2 with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS.
int guise_open_in_root(int root, const char *path, int flags);
int guise_memfd(const char *name);
/// A SOCK_SEQPACKET pair, close-on-exec.
int guise_channel(int pair[2]);
/// Sends `length` bytes and, unless negative, a descriptor over a Unix socket.
long guise_send_descriptor(int socket, const void *data, unsigned long length, int descriptor);
/// Receives; *descriptor is -1 or a new descriptor (close-on-exec).
long guise_receive_descriptor(int socket, void *data, unsigned long length, int *descriptor);
/// A Unix socket (type SOCK_…) bound and listening at, or connected to, `name` in the directory `directory`;
/// directory -1: the path as it is.
int guise_unix_listen(int directory, const char *name, int type);
int guise_unix_connect(int directory, const char *name, int type);
/// Capability sets of the caller: permitted of the process, and the bounding set.
int guise_capabilities(uint64_t *permitted, uint64_t *bounding);
/// major:minor of the device number of stat(2), and back.
uint64_t guise_device_number(unsigned major, unsigned minor);
/// prctl(PR_SET_CHILD_SUBREAPER).
int guise_become_subreaper(void);
/// An error's name and text are strerror's; this is for the runtime's wait: like waitpid without EINTR.
int guise_wait(int pid, int *status, int options);
/// Runs a program as a hook: returns its process number. Standard input is `input`, `devnull` stands for the others
/// when they are to be silent.
int guise_spawn_hook(const char *path, char *const arguments[], char *const environment[], int input);
/// Waits for a process at most `seconds` (0: for ever); kills it then. Returns 0 and *status, or -1 with ETIMEDOUT.
int guise_wait_hook(int pid, int seconds, int *status);
/// Loads a BPF program of `count` 8-byte instructions that decides about devices, and makes it the cgroup's only one.
int guise_attach_device_program(int cgroup, const uint64_t *instructions, unsigned count);
/// Blocks every signal and returns a non-blocking signalfd for all.
int guise_all_signals(void);
/// The number of a waiting signal of that descriptor, or 0.
int guise_take_signal(int descriptor);
/// prlimit(2) with limits set only.
int guise_prlimit(int pid, unsigned resource, uint64_t soft, uint64_t hard);
/// A process that does nothing in a user namespace of its own; the caller kills it.
int guise_spawn_in_user_namespace(void);
/// A detached copy of the mount at `source`, seen with the ids of the user namespace: guise_flag_recursive, guise_flag_no_follow and
/// guise_flag_idmap_recursive as in a step. -1 with errno, and *failed names the call.
int guise_idmapped_tree(const char *source, int user_namespace, unsigned flags, const char **failed);
/// Moves a network device into the namespace and renames it there.
int guise_move_network_device(const char *name, const char *name_there, int namespace_descriptor);
