// Files, descriptors, /proc of the process itself, terminals, sockets, timers.
#include "probe.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <linux/fs.h>
#include <mqueue.h>

static char text[1 << 20];
#ifdef __riscv
#define IS_OWN_PROCESSOR (getauxval(AT_HWCAP) == 0x112d)
static int is_own_cpuinfo(const char *t) { return strstr(t, "isa\t\t: rv64imafdc_") && !strstr(t, "GenuineIntel") && !strstr(t, "AuthenticAMD"); }
#else
#include <cpuid.h>
// C libraries for x86 replace AT_HWCAP by a word of their own.
#define IS_OWN_PROCESSOR !strcmp((char *)getauxval(AT_PLATFORM), MACHINE)
static int is_own_cpuinfo(const char *t) {
    char vendor[13] = {0}; unsigned a, b, c, d; __get_cpuid(0, &a, &b, &c, &d);
    memcpy(vendor, &b, 4); memcpy(vendor + 4, &d, 4); memcpy(vendor + 8, &c, 4);
    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    return strstr(t, vendor) && strstr(t, " fxsr ") && !!strstr(t, " avx2") == (b >> 5 & 1);
}
#endif
// End of the highest mapping but the kernel's own page at the top of all addresses.
static unsigned long long maps_end(void) {
    unsigned long long last = 0, from, to; int n;
    for (char *p = text; *p && sscanf(p, "%llx-%llx %n", &from, &to, &n) == 2; p = strchr(p, '\n') + 1) if (from < 0xffffffffff600000ull) last = to;
    return last;
}
static char *slurp(const char *path) {
    int fd = open(path, O_RDONLY);
    if (fd < 0) return 0;
    size_t n = 0; ssize_t r;
    while ((r = read(fd, text + n, sizeof text - 1 - n)) > 0) n += r;
    close(fd);
    text[n] = 0;
    return text;
}
static int has_line(const char *name, const char *flags, void *inside) {
    char *t = slurp("/proc/self/maps");
    for (char *l = strtok(t, "\n"); l; l = strtok(0, "\n")) {
        unsigned long a, b; char f[8];
        if (sscanf(l, "%lx-%lx %7s", &a, &b, f) == 3 && (unsigned long)inside >= a && (unsigned long)inside < b)
            return (!flags || !strcmp(f, flags)) && (!name || strstr(l, name));
    }
    return 0;
}
static int timer_fired;
static void on_timer(int s, siginfo_t *i, void *u) { (void)s; (void)u; timer_fired = i->si_value.sival_int; }

int main(int argc, char **argv) {
    begin();
    char dir[] = "/tmp/filesXXXXXX"; mkdtemp(dir); chdir(dir);
    int fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0640);
    struct stat st, st2; struct statx sx;
    CHECK("write and stat", write(fd, "hello world", 11) == 11 && fstat(fd, &st) == 0 && st.st_size == 11 && (st.st_mode & 07777) == 0640 && st.st_nlink == 1 && st.st_blksize == 4096);
    CHECK("stat times are now", st.st_mtime > 1600000000 && st.st_mtim.tv_nsec >= 0 && st.st_uid == getuid());
    CHECK("statx agrees", statx(AT_FDCWD, "f", 0, STATX_ALL, &sx) == 0 && sx.stx_ino == st.st_ino && sx.stx_size == 11 && makedev(sx.stx_dev_major, sx.stx_dev_minor) == st.st_dev);
    CHECK("stat of a device", stat("/dev/null", &st2) == 0 && S_ISCHR(st2.st_mode) && st2.st_rdev == makedev(1, 3));
    CHECK("O_DIRECTORY", open("f", O_RDONLY | O_DIRECTORY) < 0 && errno == ENOTDIR);
    symlink("f", "l");
    CHECK("O_NOFOLLOW", open("l", O_RDONLY | O_NOFOLLOW) < 0 && errno == ELOOP);
    CHECK("lstat and readlink", lstat("l", &st2) == 0 && S_ISLNK(st2.st_mode) && readlink("l", text, 10) == 1 && text[0] == 'f');
    CHECK("O_EXCL", open("f", O_CREAT | O_EXCL, 0600) < 0 && errno == EEXIST);
    CHECK("link, rename, unlink", link("f", "g") == 0 && rename("g", "h") == 0 && stat("h", &st2) == 0 && st2.st_nlink == 2 && unlink("h") == 0);
    CHECK("renameat2 NOREPLACE", renameat2(AT_FDCWD, "l", AT_FDCWD, "f", RENAME_NOREPLACE) < 0 && errno == EEXIST);
    CHECK("access", access("f", R_OK) == 0 && access("nope", F_OK) < 0 && errno == ENOENT && faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS) == 0);
    struct timespec tv[2] = {{1000, 5}, {2000, 7}};
    CHECK("utimensat", utimensat(AT_FDCWD, "f", tv, 0) == 0 && stat("f", &st) == 0 && st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 7);
    CHECK("futimens", futimens(fd, tv) == 0);
    CHECK("truncate", truncate("f", 5) == 0 && stat("f", &st) == 0 && st.st_size == 5);
    CHECK("fallocate", fallocate(fd, 0, 0, 8192) == 0 && fstat(fd, &st) == 0 && st.st_size == 8192);
    CHECK("lseek data and hole", lseek(fd, 0, SEEK_END) == 8192 && lseek(fd, 3, SEEK_SET) == 3);
    mkdir("d", 0755);
    for (int i = 0; i < 200; i++) { char n[32]; snprintf(n, sizeof n, "d/file-%d", i); close(open(n, O_CREAT | O_WRONLY, 0600)); }
    DIR *dp = opendir("d"); int entries = 0; struct dirent *de; while ((de = readdir(dp))) entries++; closedir(dp);
    CHECK("readdir", entries == 202);
    struct statfs sf; CHECK("statfs", statfs(".", &sf) == 0 && sf.f_bsize > 0 && sf.f_blocks > 0);
    CHECK("xattr", (setxattr("f", "user.a", "v", 1, 0) == 0 && getxattr("f", "user.a", text, 10) == 1 && text[0] == 'v') || errno == EOPNOTSUPP);
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
    CHECK("record locks", fcntl(fd, F_SETLK, &fl) == 0 && fcntl(fd, F_OFD_SETLK, &(struct flock){.l_type = F_RDLCK, .l_start = 100, .l_len = 5}) == 0);
    int out = open("copy", O_RDWR | O_CREAT, 0600); off_t off = 0; loff_t lo = 0;
    CHECK("sendfile", sendfile(out, fd, &off, 100) == 100 && off == 100);
    CHECK("copy_file_range", copy_file_range(fd, &lo, out, 0, 100, 0) == 100);
    int p[2]; pipe2(p, O_CLOEXEC | O_NONBLOCK); lo = 0;
    CHECK("splice and tee", splice(fd, &lo, p[1], 0, 50, 0) == 50 && read(p[0], text, 100) == 50 && read(p[0], text, 1) < 0 && errno == EAGAIN);
    int n; CHECK("FIONREAD", write(p[1], "abc", 3) == 3 && ioctl(p[0], FIONREAD, &n) == 0 && n == 3);
    CHECK("F_DUPFD_CLOEXEC and F_GETFL", (n = fcntl(fd, F_DUPFD_CLOEXEC, 50)) >= 50 && fcntl(n, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
    char wd[4096]; CHECK("getcwd", getcwd(wd, sizeof wd) && !strcmp(wd, dir));
    int dfd = open("d", O_RDONLY | O_DIRECTORY);
    CHECK("openat and fchdir", openat(dfd, "file-1", O_RDONLY) >= 0 && fchdir(dfd) == 0 && access("file-2", F_OK) == 0 && chdir("..") == 0);
    int mq = mq_open("/probe-mq", O_CREAT | O_RDWR | O_NONBLOCK, 0600, 0);
    CHECK("POSIX message queues", mq < 0 || (mq_send(mq, "x", 1, 3) == 0 && mq_unlink("/probe-mq") == 0));

    // waiting
    int ep = epoll_create1(EPOLL_CLOEXEC), ev = eventfd(0, EFD_NONBLOCK);
    struct epoll_event e = {EPOLLIN, {.u64 = 0x1122334455667788}}, es[4];
    epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e);
    e.data.u64 = 42; epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e);
    uint64_t one = 1; write(ev, &one, 8);
    n = epoll_wait(ep, es, 4, 1000);
    int sum_ok = 0; for (int i = 0; i < n; i++) sum_ok += es[i].data.u64 == 42 || es[i].data.u64 == 0x1122334455667788;
    CHECK("epoll events keep their data", n == 2 && sum_ok == 2 && es[0].events == EPOLLIN);
    CHECK("epoll_ctl errors", epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e) < 0 && errno == EEXIST && epoll_ctl(ep, EPOLL_CTL_DEL, ev, 0) == 0);
    struct timespec ms = {0, 5000000}; struct pollfd pf = {ev, POLLIN, 0};
    CHECK("ppoll", ppoll(&pf, 1, &ms, 0) == 1 && pf.revents == POLLIN);
    fd_set rs; FD_ZERO(&rs); FD_SET(p[0], &rs);
    CHECK("select", select(p[0] + 1, &rs, 0, 0, &(struct timeval){1, 0}) == 1 && FD_ISSET(p[0], &rs));
    int tfd = timerfd_create(CLOCK_MONOTONIC, 0); struct itimerspec its = {.it_value = {0, 1000000}}; timerfd_settime(tfd, 0, &its, 0);
    CHECK("timerfd", read(tfd, &one, 8) == 8 && one >= 1);
    int in = inotify_init1(0); inotify_add_watch(in, ".", IN_CREATE); close(open("new", O_CREAT, 0600));
    char ib[512]; CHECK("inotify", read(in, ib, sizeof ib) > 0 && !strcmp(((struct inotify_event *)ib)->name, "new"));

    // sockets
    int sv[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
    struct iovec iov = {"Z", 1}; char cb[CMSG_SPACE(sizeof(int))]; memset(cb, 0, sizeof cb);
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = cb, .msg_controllen = sizeof cb};
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c->cmsg_level = SOL_SOCKET; c->cmsg_type = SCM_RIGHTS; c->cmsg_len = CMSG_LEN(sizeof(int)); memcpy(CMSG_DATA(c), &fd, sizeof fd);
    char rb[4]; struct iovec ri = {rb, 4}; char rcb[64]; struct msghdr rm = {.msg_iov = &ri, .msg_iovlen = 1, .msg_control = rcb, .msg_controllen = sizeof rcb};
    CHECK("a descriptor through a socket", sendmsg(sv[0], &mh, 0) == 1 && recvmsg(sv[1], &rm, 0) == 1 && rb[0] == 'Z' && (memcpy(&n, CMSG_DATA(CMSG_FIRSTHDR(&rm)), 4), fstat(n, &st2) == 0) && st2.st_ino == st.st_ino);
    int ls = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), cs = socket(AF_INET, SOCK_STREAM, 0); struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}; socklen_t sl = sizeof sa;
    int on = 1; CHECK("setsockopt", setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
    bind(ls, (void *)&sa, sizeof sa); listen(ls, 5); getsockname(ls, (void *)&sa, &sl);
    CHECK("TCP", connect(cs, (void *)&sa, sizeof sa) == 0 && (n = accept4(ls, 0, 0, SOCK_NONBLOCK)) >= 0 && send(cs, "tcp", 3, MSG_NOSIGNAL) == 3 && (msleep(5), recv(n, rb, 4, 0)) == 3);
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "sock"}; int us = socket(AF_UNIX, SOCK_DGRAM, 0), ud = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK("Unix sockets by name", bind(us, (void *)&un, sizeof un) == 0 && sendto(ud, "dg", 2, 0, (void *)&un, sizeof un) == 2 && recv(us, rb, 4, 0) == 2 && lstat("sock", &st2) == 0 && S_ISSOCK(st2.st_mode));
    sl = sizeof un; memset(&un, 0, sizeof un); CHECK("getsockname gives the guest's name", getsockname(us, (void *)&un, &sl) == 0 && !strcmp(un.sun_path, "sock"));
    CHECK("netlink", (n = socket(AF_NETLINK, SOCK_RAW, 16)) >= 0);
    struct timeval rto = {0, 5000}; setsockopt(us, SOL_SOCKET, SO_RCVTIMEO, &rto, sizeof rto); sl = sizeof rto;
    CHECK("SO_RCVTIMEO", recv(us, rb, 4, 0) < 0 && errno == EAGAIN && getsockopt(us, SOL_SOCKET, SO_RCVTIMEO, &rto, &sl) == 0 && rto.tv_usec > 0);

    // terminals
    int master, slave; struct winsize ws = {24, 80, 0, 0}, ws2;
    CHECK("openpty", openpty(&master, &slave, 0, 0, &ws) == 0 && isatty(slave) && ioctl(master, TIOCGWINSZ, &ws2) == 0 && ws2.ws_col == 80);
    char t2[64]; CHECK("TCGETS2", ioctl(slave, 0x802c542a, t2) == 0);
    CHECK("ENOTTY", ioctl(fd, TIOCGWINSZ, &ws2) < 0 && errno == ENOTTY);
    long flags; CHECK("FS_IOC_GETFLAGS", ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 || errno == ENOTTY || errno == EOPNOTSUPP);

    // timers and clocks
    struct sigaction ta = {.sa_sigaction = on_timer, .sa_flags = SA_SIGINFO}; sigaction(SIGUSR1, &ta, 0);
    struct sigevent se = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 99}; timer_t tm;
    timer_create(CLOCK_MONOTONIC, &se, &tm); its.it_value.tv_nsec = 1000000; timer_settime(tm, 0, &its, 0); msleep(20);
    CHECK("POSIX timers", timer_fired == 99 && timer_delete(tm) == 0);
    struct timespec t0, t1; clock_gettime(CLOCK_MONOTONIC, &t0); clock_gettime(CLOCK_MONOTONIC, &t1);
    CHECK("the clock does not go back", t1.tv_sec > t0.tv_sec || t1.tv_nsec >= t0.tv_nsec);
    CHECK("clock_nanosleep absolute", (t1.tv_nsec = 0, clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t1, 0)) == 0);

    // the process about itself
    struct utsname u; uname(&u); CHECK("uname", !strcmp(u.machine, MACHINE) && !strcmp(u.sysname, "Linux"));
    char exe[4096]; ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 1); exe[len > 0 ? len : 0] = 0;
    struct stat a, b; int xf = open("/proc/self/exe", O_RDONLY), pfd = open("/proc/self", O_PATH | O_DIRECTORY);
    CHECK("/proc/self/exe is this program", stat(exe, &a) == 0 && stat("/proc/self/exe", &b) == 0 && a.st_ino == b.st_ino && fstat(xf, &b) == 0 && a.st_ino == b.st_ino && strstr(exe, "files"));
    CHECK("also by other names", readlinkat(pfd, "exe", text, 100) == len && readlink("/proc/thread-self/exe", text, 100) == len && !strncmp(text, exe, len) && fstatat(pfd, "exe", &b, 0) == 0 && b.st_ino == a.st_ino);
    CHECK("cmdline", slurp("/proc/self/cmdline") && !strcmp(text, argv[0]) && argc == 1 && strlen(text) + 1 == (size_t)lseek(open("/proc/self/cmdline", O_RDONLY), 0, SEEK_END));
    CHECK("comm", slurp("/proc/self/comm") && !strcmp(text, "files\n"));
    prctl(PR_SET_NAME, "renamed"); CHECK("PR_SET_NAME", slurp("/proc/self/status") && strstr(text, "Name:\trenamed\n"));
    CHECK("one task", slurp("/proc/self/stat") && strstr(text, "(renamed)") && (n = 0, dp = opendir("/proc/self/task")) && ({ while ((de = readdir(dp))) n++; closedir(dp); n == 3; }));
    slurp("/proc/self/stat"); n = 0; for (char *q = strrchr(text, ')'); *q; q++) n += *q == ' ';
    CHECK("stat has all its fields", n >= 50);
    int local; static int data = 1; char *heap = malloc(10);
    CHECK("maps: code", has_line("files", "r-xp", (void *)(uintptr_t)slurp));
    CHECK("maps: data", has_line(0, "rw-p", &data));
    CHECK("maps: heap and stack", has_line("[heap]", "rw-p", heap) && has_line("[stack]", "rw-p", &local));
    CHECK("maps show user space only", slurp("/proc/self/maps") && !strstr(text, "guise") && maps_end() <= SPACE_END);
    int auxfd = open("/proc/self/auxv", O_RDONLY); unsigned long av[2]; int found = 0;
    while (read(auxfd, av, sizeof av) == sizeof av && av[0]) found += av[0] == AT_ENTRY && av[1] == getauxval(AT_ENTRY);
    CHECK("auxv", found == 1 && getauxval(AT_PAGESZ) == 4096 && IS_OWN_PROCESSOR && getauxval(AT_MINSIGSTKSZ) > 0 && getauxval(AT_CLKTCK) == 100);
    CHECK("cpuinfo", slurp("/proc/cpuinfo") && is_own_cpuinfo(text));
#ifdef __riscv
    struct { long k; unsigned long v; } hw[3] = {{3, 0}, {4, 0}, {12345, 7}};
    CHECK("hwprobe", syscall(258, hw, 3, 0, 0, 0) == 0 && hw[0].v == 1 && hw[1].v == (1 | 2 | 8 | 16 | 32 | 1ul << 35) && hw[2].k == -1 && hw[2].v == 0);
#endif
    CHECK("unknown calls are ENOSYS", syscall(5000) < 0 && errno == ENOSYS && syscall(-1) < 0 && errno == ENOSYS && syscall(SYS_io_uring_setup, 1, 0) < 0 && errno == ENOSYS);
    struct sysinfo si; CHECK("sysinfo", sysinfo(&si) == 0 && si.totalram * si.mem_unit > 1 << 20);
    cpu_set_t cpus; CHECK("sched_getaffinity", sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) >= 1 && sched_getcpu() >= 0);
    struct rlimit rl; CHECK("getrlimit", getrlimit(RLIMIT_STACK, &rl) == 0 && rl.rlim_cur >= 1 << 20);
    char rnd[16]; CHECK("getrandom", syscall(SYS_getrandom, rnd, 16, 0) == 16);
    CHECK("personality", syscall(SYS_personality, 0xffffffff) == 0);
    CHECK("deep recursion grows the stack", ({ volatile char deep[4 << 20]; deep[0] = 1; deep[0] == 1; }));
    chdir("/"); snprintf(text, sizeof text, "rm -rf %s", dir); system(text);
    return finish();
}
