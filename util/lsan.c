
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Linked into the sanitizer build.  Leaks are looked for when nginx ends as
 * it was told to; "nginx -t", "nginx -s" and a start that fails leave their
 * configuration to the kernel.  Weak, because configure links this, too.
 */


#include <signal.h>


extern volatile sig_atomic_t  ngx_quit __attribute__((weak));
extern volatile sig_atomic_t  ngx_terminate __attribute__((weak));


int __lsan_is_turned_off(void);


int
__lsan_is_turned_off(void)
{
    return &ngx_quit == 0 || (!ngx_quit && !ngx_terminate);
}
