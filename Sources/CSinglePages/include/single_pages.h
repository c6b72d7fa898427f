// A program that is linked with this module holds only those pages of its file that it touches; single_pages.c tells how.
// There is nothing to call.
#pragma once
