// libseccomp, which turns names and conditions into filter programs.
#pragma once
#include <seccomp.h>
