// Moving a network device by rtnetlink(7).
#include "init.h"
#include "container_host.h"
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

struct request {
    struct nlmsghdr header;
    struct ifinfomsg info;
    char attributes[128];
};

static void attribute(struct request *request, int type, const void *data, unsigned length) {
    struct rtattr *at = (void *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));
    at->rta_type = (unsigned short)type;
    at->rta_len = (unsigned short)RTA_LENGTH(length);
    memcpy(RTA_DATA(at), data, length);
    request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(at->rta_len);
}

int guise_move_network_device(const char *name, const char *name_there, int namespace_descriptor) {
    unsigned index = if_nametoindex(name);
    if (!index) return -1;
    int link = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (link < 0) return -1;
    struct request request = {
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof request.info), .nlmsg_type = RTM_NEWLINK,
            .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK, .nlmsg_seq = 1},
        .info = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index},
    };
    attribute(&request, IFLA_NET_NS_FD, &namespace_descriptor, sizeof namespace_descriptor);
    attribute(&request, IFLA_IFNAME, name_there, (unsigned)strlen(name_there) + 1);
    struct { struct nlmsghdr header; struct nlmsgerr error; char rest[512]; } answer;
    int code = 0;
    if (send(link, &request, request.header.nlmsg_len, 0) < 0) code = errno;
    else if (recv(link, &answer, sizeof answer, 0) < (long)sizeof answer.header) code = EIO;
    else if (answer.header.nlmsg_type == NLMSG_ERROR) code = -answer.error.error;
    close(link);
    errno = code;
    return code ? -1 : 0;
}
