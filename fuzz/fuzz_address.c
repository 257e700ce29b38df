
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Hosts: whatever the system would take for an address, without asking
 * anybody, has the class of that address, or is refused.
 */


#include "../src/base/ncr_address.c"
#include "ncr_fuzz.h"

#include <netdb.h>
#include <stdio.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>


/* the address that getaddrinfo() makes of it, or NCR_ADDRESS_NAME */

static ncr_address_e
ncr_fuzz_system(const char *text)
{
    ncr_address_e         class;
    struct addrinfo       hints, *list;
    struct sockaddr_in   *sin;
    struct sockaddr_in6  *sin6;

    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST;

    if (getaddrinfo(text, NULL, &hints, &list) != 0) {
        return NCR_ADDRESS_NAME;
    }

    if (list->ai_family == AF_INET) {
        sin = (struct sockaddr_in *) (void *) list->ai_addr;
        class = ncr_address_ipv4((ncr_char_t *) &sin->sin_addr);

    } else {
        sin6 = (struct sockaddr_in6 *) (void *) list->ai_addr;
        class = ncr_address_ipv6((ncr_char_t *) &sin6->sin6_addr);
    }

    freeaddrinfo(list);

    return class;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char           text[512];
    size_t         i;
    ncr_str_t      s;
    ncr_address_e  class, theirs;

    if (size >= sizeof(text) - 2) {
        return 0;
    }

    s.len = size;
    s.data = malloc(size + !size);

    if (size) {
        memcpy(s.data, data, size);
    }

    class = ncr_address_host(&s);

    ncr_fuzz_check(strlen(ncr_address_text(class)) > 0);

    if (!ncr_address_allowed(class)) {
        free(s.data);
        return 0;
    }

    ncr_fuzz_check(size > 0);

    for (i = 0; i < size; i++) {
        ncr_fuzz_check(data[i] > ' ' && data[i] < 0x7f && data[i] != '%'
                       && data[i] != '/' && data[i] != '@');
    }

    /* as it is, without brackets, without the root's dot */

    i = (data[0] == '[');
    size -= i;

    memcpy(text, data + i, size);
    text[size - i] = '\0';

    theirs = ncr_fuzz_system(text);

    ncr_fuzz_check(theirs == class
                   || (theirs == NCR_ADDRESS_NAME
                       && text[size - i - 1] == '.'));

    if (text[size - i - 1] == '.') {
        text[size - i - 1] = '\0';
        ncr_fuzz_check(ncr_fuzz_system(text) == class);
    }

    free(s.data);

    return 0;
}
