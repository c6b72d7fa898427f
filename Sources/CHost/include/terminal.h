// The terminal's raw mode, restored on every way out of the process that can run code.
#pragma once

// Puts the terminal into raw mode and remembers its settings; restores them at exit() and before a signal kills the
// process. Returns 0, or -1 with errno. A second call without a restore is refused with EBUSY.
int guise_terminal_raw(int descriptor);
// Restores the remembered settings, if any. Async-signal-safe.
void guise_terminal_restore(void);
