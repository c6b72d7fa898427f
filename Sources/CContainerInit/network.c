// Moving a network device into a container by rtnetlink(7). The kernel takes addresses away from a device that changes its
// namespace; config-linux.md wants the permanent global ones kept and the device up, so both are done there again.
#include "init.h"
#include "container_host.h"
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { address_max = 64, attributes_max = 512 };

struct request {
    struct nlmsghdr header;
    union {
        struct ifinfomsg link;
        struct ifaddrmsg address;
    } body;
    char attributes[attributes_max];
};

struct address {
    struct ifaddrmsg message;
    unsigned length;
    char attributes[attributes_max];
};

static void start(struct request *request, int type, int flags, unsigned body) {
    memset(request, 0, sizeof *request);
    request->header.nlmsg_len = NLMSG_LENGTH(body);
    request->header.nlmsg_type = (unsigned short)type;
    request->header.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags);
    request->header.nlmsg_seq = 1;
}

static void attribute(struct request *request, int type, const void *data, unsigned length) {
    struct rtattr *at = (void *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));
    at->rta_type = (unsigned short)type;
    at->rta_len = (unsigned short)RTA_LENGTH(length);
    memcpy(RTA_DATA(at), data, length);
    request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(at->rta_len);
}

// Sends a request and waits for its acknowledgement. 0, or an errno.
static int perform(int link, struct request *request) {
    struct { struct nlmsghdr header; struct nlmsgerr error; char rest[1024]; } answer;
    if (send(link, request, request->header.nlmsg_len, 0) < 0) return errno;
    if (recv(link, &answer, sizeof answer, 0) < (long)NLMSG_LENGTH(sizeof answer.error)) return EIO;
    return answer.header.nlmsg_type == NLMSG_ERROR ? -answer.error.error : EPROTO;
}

static int is_kept(const struct ifaddrmsg *message, unsigned index) {
    return message->ifa_index == index && message->ifa_scope == RT_SCOPE_UNIVERSE && message->ifa_flags & IFA_F_PERMANENT;
}

// The attributes of one address that another RTM_NEWADDR takes; times of life are those of a permanent one.
static void keep(struct address *out, const struct nlmsghdr *header) {
    const struct ifaddrmsg *message = NLMSG_DATA(header);
    out->message = *message;
    int left = (int)IFA_PAYLOAD(header);
    for (const struct rtattr *at = IFA_RTA(message); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
        int wanted = at->rta_type == IFA_ADDRESS || at->rta_type == IFA_LOCAL || at->rta_type == IFA_BROADCAST;
        if (!wanted || out->length + RTA_ALIGN(at->rta_len) > sizeof out->attributes) continue;
        memcpy(out->attributes + out->length, at, at->rta_len);
        out->length += RTA_ALIGN(at->rta_len);
    }
}

// The device's addresses, at most address_max; -1 with errno on failure.
static int read_addresses(int link, unsigned index, struct address *out) {
    struct request request;
    start(&request, RTM_GETADDR, NLM_F_DUMP, sizeof request.body.address);
    if (send(link, &request, request.header.nlmsg_len, 0) < 0) return -1;
    static char buffer[1 << 16] __attribute__((aligned(8)));
    int count = 0;
    for (;;) {
        long got = recv(link, buffer, sizeof buffer, 0);
        if (got < 0) return -1;
        for (struct nlmsghdr *at = (void *)buffer; NLMSG_OK(at, got); at = NLMSG_NEXT(at, got)) {
            if (at->nlmsg_type == NLMSG_DONE) return count;
            if (at->nlmsg_type == NLMSG_ERROR) { errno = EIO; return -1; }
            if (at->nlmsg_type == RTM_NEWADDR && count < address_max && is_kept(NLMSG_DATA(at), index))
                keep(&out[count++], at);
        }
    }
}

// In the target's namespace: the addresses again, and the device up. 0, or an errno.
static int furnish(const char *name, const struct address *addresses, int count) {
    unsigned index = if_nametoindex(name);
    int link = index ? socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) : -1;
    if (link < 0) return errno;
    struct request request;
    int code = 0;
    for (int i = 0; i < count && !code; i++) {
        start(&request, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, sizeof request.body.address);
        request.body.address = addresses[i].message;
        request.body.address.ifa_index = index;
        char *at = (char *)&request + NLMSG_ALIGN(request.header.nlmsg_len);
        memcpy(at, addresses[i].attributes, addresses[i].length);
        request.header.nlmsg_len = NLMSG_ALIGN(request.header.nlmsg_len) + addresses[i].length;
        code = perform(link, &request);
    }
    if (!code) {
        start(&request, RTM_NEWLINK, NLM_F_ACK, sizeof request.body.link);
        request.body.link = (struct ifinfomsg){.ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
        code = perform(link, &request);
    }
    close(link);
    return code;
}

int guise_move_network_device(const char *name, const char *name_there, int namespace_descriptor) {
    unsigned index = if_nametoindex(name);
    if (!index) return -1;
    int link = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (link < 0) return -1;
    struct address *addresses = calloc(address_max, sizeof *addresses);
    int count = addresses ? read_addresses(link, index, addresses) : -1, code = count < 0 ? errno : 0;
    if (!code) {
        struct request request;
        start(&request, RTM_NEWLINK, NLM_F_ACK, sizeof request.body.link);
        request.body.link.ifi_index = (int)index;
        attribute(&request, IFLA_NET_NS_FD, &namespace_descriptor, sizeof namespace_descriptor);
        attribute(&request, IFLA_IFNAME, name_there, (unsigned)strlen(name_there) + 1);
        code = perform(link, &request);
    }
    close(link);
    int own = code ? -1 : open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (own >= 0) {
        // The runtime has one thread, so a visit is no danger to anybody else.
        if (setns(namespace_descriptor, CLONE_NEWNET) != 0) {
            code = errno;
        } else {
            code = furnish(name_there, addresses, count);
            if (setns(own, CLONE_NEWNET) != 0 && !code) code = errno;
        }
        close(own);
    } else if (!code) {
        code = errno;
    }
    free(addresses);
    errno = code;
    return code ? -1 : 0;
}
