
# Copyright (C) The ngx_http_claude_relay_module authors
#
#   make        the module and the sandbox      make run    try it
#   make test   everything                      make help   the rest


SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-print-directory

B           := build
NGINX       ?= $(shell PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v nginx)
NGINX_DEV   ?= /usr/share/nginx/src
NGX_VERSION := $(if $(NGINX),$(shell \
                 $(NGINX) -v 2>&1 | sed -n 's,.*nginx/\([0-9.]*\).*,\1,p'))
TREE        := $(B)/nginx-$(NGX_VERSION)
MODULE      := $(B)/ngx_http_claude_relay_module.so
SANDBOX     := $(B)/claude-relay-sandbox

ONLY        :=
SECONDS     := 60

FLOORS      := base model codec platform pool store
INCS        := $(FLOORS:%=-Isrc/%)
PLAIN       := $(wildcard $(FLOORS:%=src/%/*.c))
GLUE        := $(wildcard *.c src/ngx/*.c)
NGX_INCS    := objs src/core src/event src/event/modules src/event/quic \
               src/os/unix src/http src/http/modules src/http/v2
UNIT        := $(patsubst t/unit/%.c,%,$(wildcard t/unit/*_test.c))

WARN        := -Wall -Wextra -Wno-unused-parameter -Wpointer-arith -Wshadow \
               -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wformat=2 \
               -Wimplicit-fallthrough -Wdeclaration-after-statement -Werror
STRICT      := -std=c99 -pedantic $(WARN) -Wcast-qual -Wlogical-op \
               -Wduplicated-cond -Wduplicated-branches -Wnull-dereference
SANITIZE    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined
FUZZING     := -fno-sanitize-recover=undefined
LIBS        := -Wl,--as-needed -lssl -lcrypto -lz -lm -lcjson -lsqlite3 -lpthread

q            = $(if $(V),,@echo "  $@";)
j2           = $(if $(findstring -j,$(MAKEFLAGS)),,-j2)


.PHONY: all module sandbox run test unit unit-binaries asan fuzz bench \
        check floors style prices openapi strict matrix install clean help FORCE
.DELETE_ON_ERROR:

all: module sandbox


# the module, for the nginx that is installed

module: $(B)/configured-$(NGX_VERSION)
	@$(MAKE) $(j2) -C $(TREE) -f objs/Makefile modules > $(B)/module.log 2>&1 \
	    || { cat $(B)/module.log >&2; exit 1; }
	@cmp -s $(TREE)/objs/$(notdir $(MODULE)) $(MODULE) || { \
	    cp $(TREE)/objs/$(notdir $(MODULE)) $(MODULE).new; \
	    mv $(MODULE).new $(MODULE); echo "$(MODULE) for nginx $(NGX_VERSION)"; }

$(B)/configured-$(NGX_VERSION): $(B)/inputs-$(NGX_VERSION)
	@echo "configuring $(TREE)"
	@util/configure.sh $(NGINX_DEV) $(TREE)
	@touch $@

# changes only when the tree must be configured anew

$(B)/inputs-$(NGX_VERSION): FORCE
	@[ -n "$(NGX_VERSION)" ] || { \
	    echo "make: no nginx found: run util/install.sh" >&2; exit 1; }
	@grep -qs '^#define NGINX_VERSION *"$(NGX_VERSION)"' \
	    $(NGINX_DEV)/src/core/nginx.h || { \
	    echo "make: $(NGINX_DEV) is not that of nginx $(NGX_VERSION):" \
	        "install its nginx-dev, run util/install.sh" >&2; exit 1; }
	@mkdir -p $(B)
	@{ pwd; $(NGINX) -V 2>&1; ls src/*/*.[ch]; cat config util/configure.sh; \
	    cat $(NGINX_DEV)/conf_flags $(NGINX_DEV)/src/core/*.h | cksum; } > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@


# the sandbox: an upstream to try and test with

sandbox: $(if $(wildcard sandbox/*.c),$(SANDBOX))

$(SANDBOX): $(patsubst sandbox/%.c,$(B)/sandbox/%.o,$(wildcard sandbox/*.c))
	$(q) $(CC) -o $@ $^ $(LIBS) -lpthread

$(B)/sandbox/%.o: sandbox/%.c | $(B)/sandbox
	$(q) $(CC) -std=gnu11 -O2 -g $(WARN) -MMD -MP -c -o $@ $<


# the plain floors as a library, as it is and with sanitizers

$(B)/plain/libncr.a: $(PLAIN:src/%.c=$(B)/plain/%.o)
$(B)/plain-asan/libncr.a: $(PLAIN:src/%.c=$(B)/plain-asan/%.o)

$(B)/plain/%.o: src/%.c
	@mkdir -p $(@D)
	$(q) $(CC) -O2 -g $(STRICT) -MMD -MP $(INCS) -c -o $@ $<

$(B)/plain-asan/%.o: src/%.c
	@mkdir -p $(@D)
	$(q) clang $(SANITIZE) -MMD -MP $(INCS) -c -o $@ $<

%/libncr.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(q) ar rcs $@ $^


# unit tests; each includes the .c it tests, and links what that one calls

unit-binaries: $(UNIT:%=$(B)/unit/%) $(UNIT:%=$(B)/unit-asan/%)

$(B)/unit/%: t/unit/%.c $(B)/plain/libncr.a | $(B)/unit
	$(q) $(CC) -std=gnu99 -O2 -g -Wall -Wextra -Wno-unused-parameter -Werror \
	    -MMD -MP $(INCS) -It/unit -o $@ $< $(B)/plain/libncr.a $(LIBS)

$(B)/unit-asan/%: t/unit/%.c $(B)/plain-asan/libncr.a | $(B)/unit-asan
	$(q) clang -std=gnu99 $(SANITIZE) -MMD -MP $(INCS) -It/unit -o $@ $< \
	    $(B)/plain-asan/libncr.a $(LIBS)


# fuzz targets

$(B)/plain-fuzz/libncr.a: $(PLAIN:src/%.c=$(B)/plain-fuzz/%.o)

$(B)/plain-fuzz/%.o: src/%.c
	@mkdir -p $(@D)
	$(q) clang $(SANITIZE),fuzzer-no-link $(FUZZING) -MMD -MP $(INCS) -c -o $@ $<

$(B)/fuzz/%: fuzz/%.c $(B)/plain-fuzz/libncr.a | $(B)/fuzz
	$(q) clang $(SANITIZE),fuzzer $(FUZZING) -MMD -MP $(INCS) -Ifuzz -o $@ $< \
	    $(B)/plain-fuzz/libncr.a $(LIBS)

$(B)/sandbox $(B)/unit $(B)/unit-asan $(B)/fuzz:
	@mkdir -p $@

-include $(wildcard $(B)/sandbox/*.d $(B)/unit*/*.d $(B)/fuzz/*.d \
                    $(B)/plain*/*/*.d \
                    $(B)/strict/*.d $(B)/strict/src/ngx/*.d)


# running things

run:
	@util/run.sh

test:
	@util/test.sh $(ONLY)

unit:
	@util/test.sh unit

asan:
	@util/test.sh asan $(ONLY)

fuzz:
	@util/fuzz.sh $(SECONDS) $(ONLY)

bench: all
	@bench/run.sh

matrix:
	@util/matrix.sh

install:
	@util/install.sh run


# rules that a machine can check

check: floors style prices openapi strict
	@util/leaks.pl

floors:
	@util/floors.pl

style:
	@util/ngxstyle.pl

prices:
	@util/prices.pl --check

openapi:
	@util/openapi.pl --check

strict: $(PLAIN:src/%.c=$(B)/plain/%.o) $(GLUE:%.c=$(B)/strict/%.o)

$(B)/strict/%.o: %.c $(B)/configured-$(NGX_VERSION)
	@mkdir -p $(@D)
	$(q) $(CC) $(WARN) -Wlogical-op -Wduplicated-cond -MMD -MP $(INCS) -Isrc/ngx \
	    $(NGX_INCS:%=-isystem $(TREE)/%) -c -o $@ $<


clean:
	rm -rf $(B)

help:
	@echo 'make                     $(MODULE)'
	@echo '                         and $(SANDBOX)'
	@echo 'make run                 start it on 127.0.0.1:8080, with the sandbox'
	@echo '                         or, if ANTHROPIC_API_KEY is set, the real thing'
	@echo 'make test [ONLY=area]    all tests, or those of one area (t/<area>_*.t)'
	@echo 'make unit                unit tests of the plain floors'
	@echo 'make asan [ONLY=area]    t/ under the sanitizers'
	@echo 'make fuzz [SECONDS=60]   each fuzz/fuzz_*.c for so long [ONLY=name]'
	@echo 'make bench               figures beside plain proxy_pass'
	@echo 'make check               floors, style, prices, api/, strict warnings'
	@echo 'make matrix              nginx 1.22, 1.26, 1.30; dynamic and static'
	@echo 'make install             what make and make run need, with apt-get'
	@echo 'make clean               remove $(B)/'
	@echo
	@echo 'V=1                      show the commands'
	@echo 'NGINX=path NGINX_DEV=dir another nginx, and the files of its nginx-dev'
