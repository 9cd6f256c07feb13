# charter-daemon. One Makefile, no recursion into directories: sources are found by
# wildcard, so a new file needs no line here. `make help` lists the targets.
#
# Everything that is made lies under $(B). Where a target needs a second tree
# (sanitizers, another compiler, another configuration) it calls make again with
# another B; that is the only reason for $(MAKE) below.

VERSION := 0.1.0
# No right clock stands before this day, 2026-11-20: a certificate that "is not valid yet" then tells of the clock.
RELEASED := $(or $(SOURCE_DATE_EPOCH),1795132800)

B        ?= build
DESTDIR  ?=
V        ?=
WERROR   ?=
CFLAGS   ?= -Os -g
LDFLAGS  ?=
# Cleared for sanitizers, and by distributions, which have their own; FORTIFY needs an optimizing build.
HARDEN   ?= -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
PORT     ?= $(if $(filter Linux,$(shell uname -s)),linux,posix)
PYTHON   ?= /usr/bin/python3
FUZZ_SECONDS ?= 60
KCONF    ?= kconfig-conf
KMCONF   ?= kconfig-mconf

# Where `make install` puts things, by GNU's names; PREFIX, LIBDIR and MANDIR are other names of three of them.
PREFIX      ?= /usr/local
prefix      = $(PREFIX)
exec_prefix = $(prefix)
bindir      = $(exec_prefix)/bin
LIBDIR      ?= $(exec_prefix)/lib
libdir      = $(LIBDIR)
includedir  = $(prefix)/include
datarootdir = $(prefix)/share
datadir     = $(datarootdir)
MANDIR      ?= $(datarootdir)/man
mandir      = $(MANDIR)
pkgconfigdir      = $(libdir)/pkgconfig
bashcompletiondir = $(datadir)/bash-completion/completions
zshcompletiondir  = $(datadir)/zsh/site-functions

CC_FROM := $(origin CC)
ifeq ($(origin CC),default)
CC := $(CROSS_COMPILE)gcc
endif
ifeq ($(origin AR),default)
AR := $(CROSS_COMPILE)ar
endif
# For a compiler that must be told where the files of its target are.
SYSROOT ?=
ROOTED  := $(if $(SYSROOT),--sysroot=$(SYSROOT))
NM    ?= $(CROSS_COMPILE)nm
SIZE  ?= $(CROSS_COMPILE)size
STRIP ?= $(CROSS_COMPILE)strip
# Of the target, as Debian, Buildroot and Yocto name it: the one of this machine would find this machine's libraries.
PKG_CONFIG ?= $(CROSS_COMPILE)pkg-config

# Archives of the dependencies outlive `make clean` and are shared between clones.
DEPS         ?= fetch
DEPS_CACHE   ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(if $(wildcard $(HOME)/.),$(HOME)/.cache,$(CURDIR)/.deps-cache))/charter-daemon
DEPS_SQLITE  ?= $(if $(CROSS_COMPILE),source,system)
DEPS_CMOCKA  ?= $(if $(CROSS_COMPILE),source,system)
DEPS_DIR     ?= $(B)/deps
DEPS_SRC     ?= $(DEPS_DIR)/src

Q     := $(if $(V),,@)
say   = @printf '  %-7s %s\n' $(1) $(2)
sub   = $(MAKE) --no-print-directory
setup = port/debian/install-deps
# keep TEXT: writes TEXT to the target only where it differs, so that what
# depends on the target is rebuilt by a change and not by a run of make.
keep  = @mkdir -p $(@D); printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(1))' >$@

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.PHONY: FORCE
FORCE:

# --- goals that change what the others read go one by one ------------------------------------

ALONE := clean distclean menuconfig %config
ifneq ($(filter $(ALONE),$(MAKECMDGOALS)),)
ifneq ($(words $(MAKECMDGOALS)),1)
MIXED := 1
endif
endif

ifdef MIXED
.PHONY: $(MAKECMDGOALS) one-by-one
$(MAKECMDGOALS): one-by-one ; @:
one-by-one:
	+@set -e; for goal in $(MAKECMDGOALS); do $(sub) $$goal; done
else

# --- configuration: Kconfig -> $(B)/.config -> auto.conf (for make), autoconf.h (for C) --------

kconfig  = cd $(B) && srctree=$(CURDIR)
AUTOCONF := $(B)/include/autoconf.h
# Since Linux 4.17 it has another name: OpenWrt, Buildroot and distributions bring tools of both kinds.
KCONF_SYNC = $(if $(shell $(KCONF) --help 2>&1 | grep -e --syncconfig),--syncconfig,--silentoldconfig)

# These goals work without a configuration; some of them make one.
BARE := help clean distclean format %config run test lint asan valgrind posix fuzz fuzz-long deps-fetch musl musl-install musl-chroot musl-same musl-table check check-programs
BARE += configs nightly costs
BARE += deb packages derived-configs install-systemd
ifneq ($(filter-out $(BARE),$(or $(MAKECMDGOALS),all)),)
ifneq ($(CROSS_COMPILE)$(CC_FROM),default)
ifeq ($(shell command -v $(CC)),)
$(error there is no compiler '$(CC)': CC= or CROSS_COMPILE= names it)
endif
endif
ifeq ($(wildcard port/$(PORT)/*.c),)
$(error there is no PORT '$(PORT)', but posix and linux)
endif
ifeq ($(filter fetch system,$(DEPS)),)
$(error DEPS is fetch or system, not '$(DEPS)')
endif
include $(B)/include/config/auto.conf
endif

define kconfig_ready
@command -v $(KCONF) >/dev/null || $(setup) --check build
@mkdir -p $(B)/include/config $(B)/include/generated
endef

$(B)/.config:
	$(kconfig_ready)
	$(call say,CONFIG,defconfig)
	$(Q)$(kconfig) $(KCONF) --defconfig=$(CURDIR)/port/configs/defconfig $(CURDIR)/Kconfig >/dev/null

$(B)/include/config/auto.conf: $(B)/.config Kconfig
	$(kconfig_ready)
	$(Q)$(kconfig) $(KCONF) --olddefconfig $(CURDIR)/Kconfig >/dev/null
	$(Q)$(kconfig) $(KCONF) $(KCONF_SYNC) $(CURDIR)/Kconfig >/dev/null
	@touch $@

$(AUTOCONF): $(B)/include/config/auto.conf
	@cmp -s $(B)/include/generated/autoconf.h $@ || cp $(B)/include/generated/autoconf.h $@

.PHONY: menuconfig defconfig tinyconfig allnoconfig allyesconfig randconfig savedefconfig
menuconfig: $(B)/.config ## choose features and sizes
	@command -v $(KMCONF) >/dev/null || $(setup) build
	$(Q)$(kconfig) $(KMCONF) $(CURDIR)/Kconfig
defconfig: ## everything on, the sizes of the contract
tinyconfig: ## for a few MiB of memory
# port/configs/NAME_defconfig is `make NAMEconfig`.
CONFIGS := defconfig $(patsubst port/configs/%_defconfig,%config,$(wildcard port/configs/*_defconfig))
$(CONFIGS): %config:
	$(kconfig_ready)
	$(Q)$(kconfig) $(KCONF) --defconfig=$(CURDIR)/port/configs/$(patsubst def_%,%,$*_defconfig) $(CURDIR)/Kconfig >/dev/null
allnoconfig: ## every feature off
allyesconfig: ## every feature on
allnoconfig allyesconfig:
	$(kconfig_ready)
	$(Q)$(kconfig) $(KCONF) --$@ $(CURDIR)/Kconfig >/dev/null
randconfig: KCONFIG_SEED := $(or $(KCONFIG_SEED),$(shell date +%s))
randconfig: ## features by chance; KCONFIG_SEED=N repeats one
	$(kconfig_ready)
	@echo 'KCONFIG_SEED=$(KCONFIG_SEED)'
	$(Q)$(kconfig) KCONFIG_SEED=$(KCONFIG_SEED) $(KCONF) --randconfig $(CURDIR)/Kconfig >/dev/null
savedefconfig: $(B)/.config ## write what differs from the defaults to $(B)/defconfig
	$(Q)$(kconfig) $(KCONF) --savedefconfig=defconfig $(CURDIR)/Kconfig

# --- dependencies --------------------------------------------------------------------------

# mbedTLS is compiled for what the configuration wants of it, each in a place of its own.
MBEDTLS := mbedtls-$(if $(CONFIG_TLS),tls$(if $(CONFIG_TLS_1_2),-12)$(if $(CONFIG_TLS_RSA),-rsa)$(if $(CONFIG_TLS_CHACHA20),-chacha)$(if $(CONFIG_TLS_CRL),-crl)$(if $(CONFIG_TLS_RESUME),-resume),hash)
ifeq ($(DEPS),system)
DEPS_PKGS   := $(if $(CONFIG_TLS),mbedtls mbedx509) mbedcrypto libwslay jsmn $(if $(CONFIG_YAML),yaml-0.1)
DEPS_STAMPS := $(B)/deps-system-$(words $(DEPS_PKGS)).mk
$(DEPS_STAMPS): port/deps/system
	$(Q)CC='$(CC)' CPPFLAGS='$(ROOTED) $(CPPFLAGS)' LDFLAGS='$(ROOTED) $(LDFLAGS)' PKG_CONFIG='$(PKG_CONFIG)' \
		$(if $(SYSROOT),PKG_CONFIG_SYSROOT_DIR='$(SYSROOT)') port/deps/system $@ $(DEPS_PKGS)
ifneq ($(CONFIG_MESSAGE_BYTES),)
include $(DEPS_STAMPS)
endif
else
DEPS_BUILT := $(MBEDTLS) wslay jsmn $(if $(CONFIG_YAML),libyaml)
DEPS_LIBS  := $(DEPS_DIR)/$(MBEDTLS)/lib/libmbedtls.a $(DEPS_DIR)/wslay/lib/libwslay.a \
	$(if $(CONFIG_YAML),$(DEPS_DIR)/libyaml/lib/libyaml.a)
endif
DEPS_BUILT += $(if $(CONFIG_GATEWAY),$(if $(filter source,$(DEPS_SQLITE)),sqlite))
CMOCKA     := $(if $(filter source,$(DEPS_CMOCKA)),cmocka)
DEPS_STAMPS += $(DEPS_BUILT:%=$(DEPS_DIR)/%.built)
DEPS_CPPFLAGS += $(foreach d,$(DEPS_BUILT) $(CMOCKA),-isystem $(DEPS_DIR)/$(d)/include)
SQLITE_LIBS := $(if $(CONFIG_GATEWAY),$(if $(filter source,$(DEPS_SQLITE)),$(DEPS_DIR)/sqlite/lib/libsqlite3.a,-lsqlite3))
# Its header looks for a macro of glibc's and else makes an uintptr_t of its own.
CMOCKA_CPPFLAGS := $(if $(CMOCKA),-include stdint.h -D_UINTPTR_T=1)
CMOCKA_LIBS := $(if $(CMOCKA),$(DEPS_DIR)/cmocka/lib/libcmocka.a,-lcmocka)

# One fetch for all, because they share one package index; kept sources need no second one.
DEPS_FETCH := mbedtls wslay jsmn libyaml $(filter sqlite,$(DEPS_BUILT)) $(CMOCKA)
space := $(subst ,, )
, := ,
DEPS_FETCHED := $(DEPS_SRC)/fetched-$(subst $(space),-,$(strip $(DEPS_FETCH)))
export DEPS_STRICT DEPS_OFFLINE DEPS_MIRROR
$(DEPS_FETCHED): port/deps/lock
	@mkdir -p $(@D)
	$(Q)DEPS_CACHE='$(DEPS_CACHE)' port/deps/fetch $(DEPS_SRC) $(DEPS_FETCH)
	@touch $@
# A tree that borrows the dependencies of another (DEPS_DIR=) must not rebuild them for its flags.
$(DEPS_DIR)/.flags: $(if $(filter $(B)/deps,$(DEPS_DIR)),FORCE)
	$(call keep,$(CC) $(AR) $(ROOTED) $(CFLAGS))
$(DEPS_DIR)/$(MBEDTLS).built: port/deps/mbedtls_config.h
$(DEPS_DIR)/%.built: port/deps/build $(DEPS_DIR)/.flags $(DEPS_FETCHED) | $(AUTOCONF)
	$(call say,DEP,$*)
	$(Q)CC='$(CC)' AR='$(AR)' CFLAGS='$(strip $(ROOTED) $(WIDE) $(CFLAGS))' CONFIG_INCLUDE=$(abspath $(B)/include) \
		port/deps/build $(firstword $(subst -, ,$*)) $(DEPS_SRC)/$(firstword $(subst -, ,$*)) $(DEPS_DIR)/$*
	@touch $@

.PHONY: deps-fetch
deps-fetch: ## only fill the cache, for a machine that goes offline
	$(Q)DEPS_CACHE='$(DEPS_CACHE)' port/deps/fetch $(DEPS_SRC) mbedtls wslay jsmn libyaml $(ALSO)

# --- sources, objects, programs ------------------------------------------------------------

# port/linux/x.c replaces port/posix/x.c.
PORT_SRC := $(wildcard port/posix/*.c)
ifneq ($(PORT),posix)
PORT_OWN := $(wildcard port/$(PORT)/*.c)
PORT_SRC := $(filter-out $(PORT_OWN:port/$(PORT)/%=port/posix/%),$(PORT_SRC)) $(PORT_OWN)
endif
OFF := $(if $(CONFIG_GATEWAY),,gateway) $(if $(CONFIG_CLI),,cli)
TESTS_OFF := $(OFF) $(if $(CONFIG_LINK),,link)
TLS_OFF := $(if $(CONFIG_TLS),src/link/tls_none.c,$(filter-out %/tls_options.c %/tls_none.c,$(wildcard src/link/tls*.c)))
# SYMBOL:FILE. Where the symbol is on FILE.c is compiled; where it is off FILE_none.c, if there is one.
TWINS := PROXY:src/link/proxy TLS_CA:src/link/tls_trust TLS_CRL:src/link/tls_crl \
	TLS_CLIENT_CERT:src/link/tls_own TLS_RESUME:src/link/tls_session \
	PATTERN:src/project/pattern DESCRIBE:src/project/describe DESCRIBE:src/project/conform \
	SALVAGE:src/journal/salvage NOTIFY:src/daemon/notify HELP:src/daemon/help \
	$(addprefix LINK:src/link/,dialling hello inbound link receive session status timing transmit) \
	RESOLVE:port/posix/resolve USER_NAMES:port/posix/names
TWINS_OFF := $(foreach t,$(TWINS),$(lastword $(subst :, ,$t))$(if $(CONFIG_$(firstword $(subst :, ,$t))),_none).c)
PORT_SRC := $(filter-out $(TWINS_OFF),$(PORT_SRC))
SRC := $(filter-out $(foreach o,$(OFF),src/$(o)/%) $(TLS_OFF) $(TWINS_OFF),$(wildcard src/*/*.c))
MAINS := $(filter %/main.c,$(SRC))
LIB_SRC := $(filter-out $(MAINS),$(SRC)) $(PORT_SRC)

PROGRAMS := $(if $(filter src/daemon/main.c,$(MAINS)),$(B)/charter-daemon) \
	$(if $(filter src/cli/main.c,$(MAINS)),$(B)/charter) \
	$(if $(filter src/gateway/main.c,$(MAINS)),$(B)/charter-gateway)
TEST_PROGRAMS := $(patsubst tests/programs/%.c,$(B)/%,$(wildcard tests/programs/*.c))
FAULT_DAEMON  := $(if $(filter src/daemon/main.c,$(MAINS)),$(B)/charter-daemon-fault)
HEAP_DAEMON   := $(FAULT_DAEMON:%-fault=%-heapless)
UNIT_PROGRAMS := $(patsubst tests/unit/%.c,$(B)/tests/%, \
	$(filter-out $(foreach o,$(TESTS_OFF),tests/unit/test_$(o)%) $(if $(CONFIG_TLS),,tests/unit/test_link_tls%),$(wildcard tests/unit/test_*.c)))
UNIT_HELPERS  := $(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c))
FUZZ_PROGRAMS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
BENCH_PROGRAMS := $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/*.c))

LIB  := $(B)/libcharter.a
OBJ  = $(patsubst %.c,$(B)/obj/%.o,$(1))
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion $(if $(WERROR),-Werror)
SRC_WARN := -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wcast-align

# Seconds and offsets of 64 bits on 32-bit machines too; port/posix/clock.c and file.c insist. The libraries get the same. Elsewhere it
# would only give glibc's calls other names, which tests/fault does not know.
WIDE = $(eval WIDE := $(if $(shell echo | $(CC) $(ROOTED) $(CFLAGS) $(CPPFLAGS) -E -dM - 2>/dev/null | grep __LP64__),,-D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64))$(WIDE)
ALL_CPPFLAGS = -D_POSIX_C_SOURCE=200809L $(WIDE) -DCHARTER_VERSION='"$(VERSION)"' -DCHARTER_RELEASED=$(RELEASED) \
	-I$(B)/include -Isrc -Iport -Iinclude $(DEPS_CPPFLAGS) $(CPPFLAGS)
# Paths of the build machine stay out of the binaries, so that any folder gives the same ones.
MAP := $(foreach m,$(CURDIR)=. $(B)=build $(DEPS_DIR)=build/deps,-ffile-prefix-map=$(m))
ALL_CFLAGS   = $(ROOTED) -std=c11 $(WARN) -ffunction-sections -fdata-sections $(MAP) $(HARDEN) \
	$(if $(CONFIG_STACK_PROTECTOR),-fstack-protector-strong) $(CFLAGS)
ALL_LDFLAGS  = $(ROOTED) $(CFLAGS) -Wl,--gc-sections -Wl,--as-needed -Wl,-z,relro -Wl,-z,now $(LDFLAGS)
LINK = $(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(1) $(DEPS_LIBS) $(LDLIBS)

.PHONY: all programs test-programs unit-programs fuzz-programs
programs: $(PROGRAMS)
all: $(LIB) $(PROGRAMS) sdk ## the programs, and the SDK (the default)
	@rm -f $(filter-out $(PROGRAMS),$(B)/charter $(B)/charter-gateway) # of another configuration
test-programs: $(TEST_PROGRAMS) $(FAULT_DAEMON) ## what tests need besides: readers for outside suites, a daemon with faults
unit-programs: $(UNIT_PROGRAMS)
fuzz-programs: $(FUZZ_PROGRAMS)

# Changed flags, and sources that came or went, are changes too.
$(B)/.flags: FORCE
	$(call keep,$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(HOT_CFLAGS) $(ALL_LDFLAGS))
$(B)/.members: FORCE
	$(call keep,$(LIB_SRC) $(UNIT_HELPERS))

# Every byte of every event passes through these: there -Os costs a quarter of the processor's time, and -O2 a few KB.
HOT := $(addprefix src/,$(addsuffix .c,base/out base/str \
	json/check json/plain json/scan json/table json/value json/walk journal/record))
HOT_CFLAGS ?= $(if $(CONFIG_FAST_EVENTS),$(if $(filter -Os,$(CFLAGS)),-O2))

$(B)/obj/%.o: %.c $(B)/.flags $(DEPS_STAMPS) | $(AUTOCONF)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(if $(filter $(HOT),$<),$(HOT_CFLAGS)) \
		$(if $(filter tests/%,$<),-Itests/unit -Itests $(if $(filter tests/unit/%,$<),$(CMOCKA_CPPFLAGS)),$(SRC_WARN)) -MMD -MP -c -o $@ $<

# The bridge for Python is part of the daemon, byte for byte.
BRIDGE_SOURCE := $(B)/include/project/bridge_source.h
$(BRIDGE_SOURCE): port/python/bridge.py
	@mkdir -p $(@D)
	$(call say,GEN,$@)
	@{ echo 'static const unsigned char bridge_source[] = {'; \
		od -An -v -t u1 $< | sed 's/\([0-9][0-9]*\)/\1,/g'; echo '};'; } >$@.new && mv $@.new $@
$(call OBJ,src/project/python.c): $(if $(CONFIG_PYTHON_BRIDGE),$(BRIDGE_SOURCE))

# q, not r: files of the same name in two rooms are two members. D: no dates, no users.
$(LIB): $(call OBJ,$(LIB_SRC)) $(B)/.members
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) qcsD $@ $(filter %.o,$^)

$(B)/charter-daemon: private LDLIBS += -Wl,-Map=$@.map
$(B)/charter-daemon: $(call OBJ,src/daemon/main.c) $(LIB)
	$(call say,LD,$@)
	$(call LINK)
$(B)/charter: $(call OBJ,src/cli/main.c) $(LIB)
	$(call say,LD,$@)
	$(call LINK)
$(B)/charter-gateway: $(call OBJ,src/gateway/main.c) $(LIB)
	$(call say,LD,$@)
	$(call LINK,$(SQLITE_LIBS))
$(TEST_PROGRAMS): $(B)/%: $(B)/obj/tests/programs/%.o $(LIB)
	$(call say,LD,$@)
	$(call LINK)
# A layer between port/ and the C library that makes calls fail (tests/fault), in the same objects otherwise.
FAULT_OBJ  := $(call OBJ,tests/fault/fault.c)
FAULT_WRAP := $(addprefix -Wl$(,)--wrap=,open close read pread write pwrite fdatasync fsync ftruncate fallocate \
	posix_fallocate rename unlink mkdir rmdir stat fstat opendir fork clock_gettime pselect)
$(FAULT_DAEMON): private LDLIBS += $(FAULT_WRAP)
$(FAULT_DAEMON): $(call OBJ,src/daemon/main.c) $(FAULT_OBJ) $(LIB)
	$(call say,LD,$@)
	$(call LINK)
FAULT_TESTS := $(filter $(B)/tests/test_fault_%,$(UNIT_PROGRAMS))
$(FAULT_TESTS): private LDLIBS += $(FAULT_OBJ) $(FAULT_WRAP)
$(FAULT_TESTS): $(FAULT_OBJ)
# A daemon that ends when it touches the heap after its start (tests/heap); not stripped, so that addresses have names.
# The linker reaches the calls of a C library that it links itself; a shared one asks the program for these functions.
HEAP_OBJ  := $(call OBJ,tests/heap/heap.c)
HEAP_WRAP := fork mmap daemon_turn port_release_stack $(if $(CONFIG_TLS),tls_step) $(if $(findstring -static,$(LDFLAGS)),malloc calloc realloc memalign aligned_alloc \
	posix_memalign valloc free __libc_malloc __libc_calloc __libc_realloc)
$(HEAP_OBJ): private CPPFLAGS += $(if $(findstring -static,$(LDFLAGS)),-DHEAP_IS_WRAPPED)
$(HEAP_DAEMON): private override LDFLAGS := $(filter-out -s,$(LDFLAGS))
$(HEAP_DAEMON): private LDLIBS += $(HEAP_WRAP:%=-Wl$(,)--wrap=%)
$(HEAP_DAEMON): $(call OBJ,src/daemon/main.c) $(HEAP_OBJ) $(LIB)
	$(call say,LD,$@)
	$(call LINK)
# What tests share is an archive too: each takes the helpers that it calls, first of all those of
# its own room (test_ROOM_x.c and ROOM_y.c).
helpers_of = $(foreach o,$(call OBJ,$(UNIT_HELPERS)),$(if $(filter $(1)_%,$(notdir $(o))),$(o)))
$(B)/tests/libhelpers.a: $(call OBJ,$(UNIT_HELPERS)) $(B)/.members
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(AR) qcsD $@ $(filter %.o,$^)
$(UNIT_PROGRAMS): $(B)/tests/%: $(B)/obj/tests/unit/%.o $(B)/tests/libhelpers.a $(LIB) $(if $(CMOCKA),$(DEPS_DIR)/cmocka.built)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(call helpers_of,$(firstword $(subst _, ,$(*:test_%=%)))) \
		$(@D)/libhelpers.a $(LIB) $(SQLITE_LIBS) $(CMOCKA_LIBS) $(DEPS_LIBS) $(LDLIBS)
$(call OBJ,$(wildcard tests/unit/*.c)): | $(if $(CMOCKA),$(DEPS_DIR)/cmocka.built)
$(BENCH_PROGRAMS): $(B)/bench/%: $(B)/obj/tests/bench/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(call LINK)
# Without a fuzzing engine a fuzz target only replays files that it is given.
$(FUZZ_PROGRAMS): $(B)/fuzz/%: $(B)/obj/tests/fuzz/%.o $(if $(FUZZ_ENGINE),,$(call OBJ,tests/fuzz/replay_main.c)) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(call LINK,$(FUZZ_ENGINE))

# --- the SDK for integrations in C -----------------------------------------------------------

# libcharter-integration.a brings what it stands on along. There all names that are not charter_'s
# own are renamed, so that none can meet one of an author's program: the first build of each source,
# which the programs use, says which names there are. C99, as the header promises.
SDK_SRC := $(wildcard src/sdk/*.c) $(addprefix src/base/,assert.c out.c str.c time.c) \
	$(filter-out %/read.c %/scan.c %/schema.c,$(wildcard src/json/*.c)) \
	$(addprefix src/rpc/,envelope.c exchange.c line.c) $(filter %/pipe.c %/clock.c %/stderr.c,$(PORT_SRC))
SDK_LIB := $(B)/libcharter-integration.a
SDK_OBJ := $(SDK_SRC:%.c=$(B)/sdk/%.o)
EXAMPLES := $(patsubst port/demo/integrations/%.c,$(B)/integrations/%,$(wildcard port/demo/integrations/*.c))
SDK_TESTS := $(patsubst tests/integrations/%.c,$(B)/integrations/%,$(wildcard tests/integrations/*.c))

.PHONY: sdk sdk-sources
sdk-sources:
	@echo $(SDK_SRC)
sdk: $(SDK_LIB) $(EXAMPLES) ## libcharter-integration.a, and the examples on it
$(B)/sdk/names.h: $(call OBJ,$(SDK_SRC))
	@mkdir -p $(@D)
	$(Q)$(NM) -P -g $^ | awk '$$2 ~ /^[TDBRVW]$$/ { sub(/^_/, "", $$1); \
		if ($$1 !~ /^charter_/) print "#define " $$1 " charter_sdk_" $$1 }' >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(SDK_OBJ): $(B)/sdk/%.o: %.c $(B)/.flags | $(B)/sdk/names.h $(AUTOCONF)
	@mkdir -p $(@D)
	$(call say,CC,"$< (SDK)")
	$(Q)$(CC) $(ALL_CPPFLAGS) -include src/sdk/c99.h -include $(B)/sdk/names.h \
		$(ALL_CFLAGS) -std=c99 $(SRC_WARN) -MMD -MP -c -o $@ $<
$(SDK_LIB): $(SDK_OBJ) $(B)/.members
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) qcsD $@ $(filter %.o,$^)
# As an author builds them: the public headers and the library.
$(EXAMPLES): $(B)/integrations/%: port/demo/integrations/%.c
$(SDK_TESTS): $(B)/integrations/%: tests/integrations/%.c
$(EXAMPLES) $(SDK_TESTS): $(SDK_LIB) $(wildcard include/charter/*.h)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -D_POSIX_C_SOURCE=200809L -Iinclude $(CPPFLAGS) $(ALL_CFLAGS) -std=c99 $(ALL_LDFLAGS) -o $@ $(filter %.c,$^) $(SDK_LIB)

test-programs: $(SDK_TESTS)

-include $(SDK_OBJ:.o=.d) $(patsubst %.o,%.d,$(call OBJ,$(SRC) $(PORT_SRC) $(wildcard tests/*/*.c)))

# --- tests ---------------------------------------------------------------------------------

# Each suite leaves its count in $(B)/results; `make test` sums them up and ends with one line.
TESTS   := $(PYTHON) tests/run_tests.py
RESULTS := $(B)/results
TEST_VARIANT ?= plain
export TEST_VARIANT

.PHONY: run test unit e2e fuzz-replay builds bench bench-programs
run: ## the example, from the command line to the gateway's store and back
	@$(setup) build run
	+@$(sub) all
	@BUILD=$(abspath $(B)) port/demo/run.sh

test: ## everything that must pass, and the count
	@$(setup) build test
	@rm -rf $(RESULTS)
	+@$(sub) all unit-programs test-programs fuzz-programs
	+@for suite in unit e2e fuzz-replay builds; do $(sub) $$suite || :; done
	@$(TESTS) sum $(addprefix $(RESULTS)/,unit e2e fuzz-replay builds)

UNIT_JOBS ?= 1
unit: $(UNIT_PROGRAMS) ## tests of single files, with cmocka
	@$(TESTS) unit --result $(RESULTS)/unit --jobs $(UNIT_JOBS) $(if $(WRAP),--wrap '$(WRAP)' --timeout 900) $(UNIT_PROGRAMS)

# Most of what they do is wait, for deadlines and for each other: several files at a time, where pytest-xdist is there.
E2E_JOBS ?= 4
e2e_jobs = $(if $(shell $(PYTHON) -c 'import xdist' 2>/dev/null && echo y),-n $(E2E_JOBS) --dist loadfile)
# E2E_BUILD: programs that stand in for those of $(B), with the same names.
e2e: all test-programs ## tests of whole programs, with pytest; PYTEST_ARGS= and E2E_TESTS=FILES select
	@mkdir -p $(RESULTS); rm -f $(RESULTS)/e2e.xml; rc=0; \
	BUILD=$(abspath $(or $(E2E_BUILD),$(B))) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest -q -p no:cacheprovider $(e2e_jobs) \
		--junitxml=$(RESULTS)/e2e.xml $(PYTEST_ARGS) $(or $(E2E_TESTS),tests/e2e) </dev/null || rc=$$?; \
	$(TESTS) junit --status $$rc --result $(RESULTS)/e2e $(RESULTS)/e2e.xml

fuzz-replay: $(FUZZ_PROGRAMS) ## the corpora through the fuzz targets, any compiler
	@$(TESTS) replay --result $(RESULTS)/fuzz-replay $(FUZZ_PROGRAMS)

builds: $(DEPS_STAMPS) ## other configurations, incremental builds, offline, install
	@MAKE='$(MAKE)' B=$(abspath $(B))/check DEPS_DIR=$(abspath $(DEPS_DIR)) DEPS_CACHE='$(DEPS_CACHE)' \
		KCONFIG_SEED=$(or $(KCONFIG_SEED),$(shell date +%s)) \
		$(TESTS) tap --result $(RESULTS)/builds -- tests/builds/run

# Random configurations, and with KINDS= the profiles, every symbol flipped, every number at its ends: each is
# built and runs the unit tests. Their dependencies are shared, and compiled for speed of the compiler.
SEEDS ?= 10
KINDS ?= seeds
.PHONY: configs nightly
configs: ## SEEDS=10 random configurations, built and tested; KCONFIG_SEED=N is the first, KINDS= takes others
	@$(setup) build test
	@mkdir -p $(B)/configs
	@MAKE='$(MAKE)' B=$(abspath $(B))/configs DEPS_DIR=$(abspath $(B))/configs/deps DEPS_CACHE='$(DEPS_CACHE)' SEEDS=$(SEEDS) \
		KCONFIG_SEED=$(or $(KCONFIG_SEED),$(shell date +%s)) \
		$(TESTS) tap --result $(RESULTS)/configs -- tests/builds/configs $(KINDS)
nightly: ## what takes too long for every change: .ci/nightly
	@MAKE='$(MAKE)' B=$(B) .ci/nightly

bench-programs: $(BENCH_PROGRAMS)
bench: all bench-programs ## measurements beside their floors, in about three minutes; BENCH= selects
	@mkdir -p $(B)/wide
	@sed -e 's/^\(CONFIG_RUNS_IN_FLIGHT\|CONFIG_STEPS_EXECUTING\|CONFIG_PROCESSES\)=.*/\1=64/' $(B)/.config >$(B)/wide/.wanted
	@cmp -s $(B)/wide/.wanted $(B)/wide/.config || cp $(B)/wide/.wanted $(B)/wide/.config
	+@$(sub) B=$(abspath $(B))/wide DEPS_DIR=$(abspath $(DEPS_DIR)) all
	@$(PYTHON) tests/bench/run.py $(B) $(B)/wide $(BENCH)
	@$(if $(BENCH),,$(B)/bench/bench_append "$${TMPDIR:-/tmp}" 100)

# What stands in for the daemon ends at the first call of an allocator after its start: once in the static
# program, whose calls are all the linker's, under every end-to-end test, and in the one that shares glibc.
.PHONY: heapless heapless-daemon
heapless-daemon: $(HEAP_DAEMON)
heapless: ## end-to-end tests of a daemon that may not touch the heap once it has started
	@$(setup) build test
	+@$(sub) all test-programs heapless-daemon
	+@$(sub) musl
	+@$(musl_make) heapless-daemon
	@MAKE='$(MAKE)' B='$(B)' STATIC=$(abspath $(MUSL_B)) PYTHON='$(PYTHON)' tests/heap/run

.PHONY: asan valgrind posix fuzz fuzz-long
asan: ## unit and e2e tests with the address and undefined behaviour sanitizers
valgrind: ## unit and e2e tests under valgrind
posix: ## unit and e2e tests without port/linux, as on a system of plain POSIX
fuzz: ## each fuzz target for FUZZ_SECONDS=60 with libFuzzer; FUZZ= selects
asan valgrind posix fuzz:
	@$(setup) build test $(if $(filter posix,$@),,$(if $(filter valgrind,$@),$@,sanitizers))
	+@MAKE='$(MAKE)' B='$(B)' PYTHON='$(PYTHON)' FUZZ_SECONDS=$(FUZZ_SECONDS) tests/variants/$@
fuzz-long: ## the same for ten minutes each
	+@$(sub) fuzz FUZZ_SECONDS=600

# --- static programs for this and other machines -----------------------------------------------

# In a tree of its own for each target and profile, all dependencies from source. The toolchain is
# Debian's compiler with musl (port/musl/toolchain), or yours: CROSS_COMPILE= or CC=, and SYSROOT=.
TARGET  ?= x86_64
PROFILE ?=
MUSL_B  := $(B)/musl-$(TARGET)$(PROFILE:%=-%)
MUSL_OWN   := $(if $(CROSS_COMPILE)$(filter command,$(CC_FROM)),,yes)
MUSL_TOOLS := $(abspath $(B))/toolchain-$(TARGET)
MUSL_CROSS := $(if $(MUSL_OWN),$(MUSL_TOOLS)/bin/$(TARGET)-musl-,$(CROSS_COMPILE))
# Nothing here unwinds a stack: its tables would be a ninth of the program.
MUSL_CFLAGS := -Os -fno-unwind-tables -fno-asynchronous-unwind-tables
# Ours is named by all its names, for the environment may have others.
MUSL_NAMES := $(if $(MUSL_OWN),CC=$(MUSL_CROSS)gcc AR=$(MUSL_CROSS)ar NM=$(MUSL_CROSS)nm SIZE=$(MUSL_CROSS)size STRIP=$(MUSL_CROSS)strip)
musl_make   = $(sub) B=$(MUSL_B) CROSS_COMPILE=$(MUSL_CROSS) $(MUSL_NAMES) $(if $(filter command,$(origin CFLAGS)),,CFLAGS='$(MUSL_CFLAGS)') \
	LDFLAGS='$(strip -static -s -Wl,-z,noseparate-code $(LDFLAGS))' DEPS=fetch DEPS_SQLITE=source DEPS_CMOCKA=source \
	DEPS_SRC='$(abspath $(B))/sources' DEPS_FETCH='mbedtls wslay jsmn libyaml sqlite cmocka'

# A target that is not known is named before anything else is said of it.
ifneq ($(filter musl musl-install musl-chroot musl-same check,$(MAKECMDGOALS)),)
MUSL_TARGETS := $(shell port/musl/toolchain --targets)
ifneq ($(MUSL_OWN),)
ifeq ($(filter $(TARGET),$(MUSL_TARGETS)),)
$(error there is no TARGET '$(TARGET)', but: $(MUSL_TARGETS). With a toolchain of yours any name will do: make musl TARGET=NAME CROSS_COMPILE=PREFIX)
endif
else ifeq ($(origin TARGET),file)
$(error with a toolchain of yours (CROSS_COMPILE, CC) say what it compiles for: TARGET=NAME, which build/musl-NAME will be named after)
else ifneq ($(shell $(CC) $(ROOTED) $(CPPFLAGS) -include limits.h -E -dM -x c /dev/null 2>/dev/null | grep __GLIBC__),)
$(error the C library of '$(CC)' is glibc, not musl; for that, make B=build/$(TARGET) CROSS_COMPILE=PREFIX)
endif
endif

.PHONY: musl musl-install
musl-install: musl ## put them where `make install` puts others; DESTDIR=, PREFIX=
	+@$(musl_make) install
musl: $(if $(MUSL_OWN),$(MUSL_TOOLS)/.made) ## static, stripped programs in build/musl-TARGET; TARGET=x86_64 PROFILE=default
	@$(setup) source
	+@[ -f $(MUSL_B)/.config ] || $(sub) B=$(MUSL_B) $(or $(PROFILE),def)config
	+@$(musl_make) all
	@cd $(MUSL_B) && for f in charter-daemon charter charter-gateway; do \
		[ ! -f $$f ] || printf '%s\t%8d bytes\n' $(MUSL_B)/$$f $$(wc -c <$$f); done
$(MUSL_TOOLS)/.made: port/musl/toolchain port/deps/lock
	@$(setup) musl-$(TARGET)
	$(Q)DEPS_CACHE='$(DEPS_CACHE)' port/musl/toolchain $(TARGET) $(@D)
	@touch $@

.PHONY: costs
costs: MUSL_B := $(B)/costs
costs: export MUSL_MAKE = $(musl_make)
costs: $(if $(MUSL_OWN),$(MUSL_TOOLS)/.made) ## what each feature costs in such programs; WRITE=1 puts it into Kconfig
	@$(setup) source
	+@B=$(abspath $(B))/costs SIZE='$(SIZE)' tests/size/costs $(if $(WRITE),--write) $(SYMBOLS)

.PHONY: musl-chroot musl-same musl-table
musl-chroot: ## the programs of `make musl` in a folder with nothing but a static shell
	@$(setup) chroot
	+@$(sub) musl
	@$(TESTS) tap --result $(RESULTS)/musl-chroot -- tests/musl/chroot $(MUSL_B)
musl-same: ## two copies of the sources in different folders give the same programs for TARGET, byte for byte
	@MAKE='$(MAKE)' DEPS_CACHE='$(DEPS_CACHE)' $(TESTS) tap --result $(RESULTS)/musl-same -- \
		tests/musl/same $(abspath $(B))/same $(TARGET) $(PROFILE)
musl-table: ## README's table of all targets: sizes as built now, and what `make check` last said
	@tests/musl/table $(B)

# What was built for another machine is run by qemu-user on this one, or by EMULATOR=: every unit test, and
# of the end-to-end tests those that tests/musl/check names. What this machine can run itself has them all.
.PHONY: check check-built check-programs
check: ## unit and end-to-end tests of `make musl TARGET=`, under qemu-user where it must be; E2E_TESTS= selects
	+@$(sub) check-programs
	@PYTHON='$(PYTHON)' E2E_JOBS='$(E2E_JOBS)' E2E_TESTS='$(E2E_TESTS)' PYTEST_ARGS='$(PYTEST_ARGS)' EMULATOR='$(EMULATOR)' CHECK_CC='$(if $(MUSL_OWN),$(MUSL_CROSS)gcc,$(CC))' \
		tests/musl/check $(TARGET) $(MUSL_B)
check-programs: ## what `make check` runs, without running it
	@$(setup) test $(if $(MUSL_OWN),qemu-$(TARGET))
	+@$(sub) musl
	+@$(musl_make) check-built
check-built: all unit-programs test-programs
	@printf '%s\n' $(patsubst $(B)/%,%,$(UNIT_PROGRAMS)) >$(B)/tests/.programs

# --- packages -------------------------------------------------------------------------------

systemdunitdir = /usr/lib/systemd/system
sysusersdir    = /usr/lib/sysusers.d
.PHONY: install-systemd
install-systemd: ## units and users for systemd, to DESTDIR; they start the programs of bindir=
	$(Q)install -d $(DESTDIR)$(systemdunitdir) $(DESTDIR)$(sysusersdir)
	$(Q)for unit in port/systemd/*.service; do \
		sed 's|/usr/bin/|$(bindir)/|' $$unit >$(DESTDIR)$(systemdunitdir)/$${unit##*/} || exit 1; done
	$(Q)for users in charter-daemon charter-gateway; do \
		install -m 644 port/systemd/$$users.sysusers $(DESTDIR)$(sysusersdir)/$$users.conf || exit 1; done

.PHONY: deb
deb: ## .deb packages of this machine's architecture, in build/deb
	@$(setup) build deb
	@mkdir -p $(B)/deb
	$(Q)DEPS_CACHE='$(DEPS_CACHE)' port/deps/fetch $(B)/deb/archives mbedtls wslay jsmn libyaml # into the cache
	$(Q)DEPS_CACHE='$(abspath $(DEPS_CACHE))' port/debian/build-deb $(B)/deb $(VERSION)
	@ls $(B)/deb/*.deb

.PHONY: derived-configs
derived-configs: ## the menus of OpenWrt, Buildroot and Yocto, from Kconfig
	$(Q)port/configs/derive-all

.PHONY: packages
packages: ## tests of the packages, for Debian in a machine of their own; needs root for that
	@$(setup) build deb packages
	+@MAKE='$(MAKE)' B='$(abspath $(B))' DEPS_CACHE='$(abspath $(DEPS_CACHE))' VERSION=$(VERSION) \
		$(TESTS) tap --result $(RESULTS)/packages -- tests/packages/run

# --- style and rules -----------------------------------------------------------------------

.PHONY: lint format size size-accept size-static size-map stack
lint: ## formatting, layering, -Werror with gcc and clang, cppcheck, shellcheck
	@$(setup) build test lint
	+@$(sub) deps
	+@MAKE='$(MAKE)' B=$(abspath $(B))/lint DEPS_DIR=$(abspath $(DEPS_DIR)) $(TESTS) tap --result $(RESULTS)/lint -- tests/lint/run; \
	rc=$$?; $(TESTS) sum $(RESULTS)/lint; exit $$rc
size: all ## bytes of rooms and programs, against those that were accepted
	@CC='$(CC)' SIZE='$(SIZE)' tests/size/compare $(B)
	$(if $(CONFIG_LIMITS),@echo; $(B)/charter-daemon limits)
	@echo; echo 'static programs of the profiles, and memory in use: make size-static; by room and library: make size-map'
size-accept: all ## accept them
	@CC='$(CC)' SIZE='$(SIZE)' tests/size/compare --accept $(B)
	@[ ! -x $(B)/musl-x86_64/charter-daemon ] || tests/size/static --accept $(B)
stack: ## the largest frames of functions, and the deepest way down from one turn of the daemon's loop
	+@$(sub) B=$(B)/stack DEPS_DIR=$(abspath $(DEPS_DIR)) CC=gcc CFLAGS='-Os -g -fcallgraph-info=su' all >/dev/null
	@tests/lint/recursion --stack $(B)/stack/obj/src $(B)/stack/obj/port
size-static: ## the static programs of the profiles, and the daemon's idle memory
	+@for profile in '' secure-min tiny; do $(sub) musl TARGET=$(TARGET) PROFILE=$$profile >/dev/null || exit 1; done
	@$(TESTS) tap --result $(RESULTS)/size-static -- tests/size/static $(B)
size-map: ## what the bytes of the static daemons are, by room and library
	+@for profile in '' secure-min tiny; do $(sub) musl TARGET=$(TARGET) PROFILE=$$profile >/dev/null || exit 1; done
	@SIZE='$(SIZE)' tests/size/map $(addprefix $(B)/musl-$(TARGET),/ -secure-min -tiny)
format: ## put every C file into the form of .clang-format
	$(Q)clang-format -i $$(find src port include tests -name '*.[ch]')

# --- install, help, clean ------------------------------------------------------------------

.PHONY: install help clean distclean deps
deps: $(DEPS_STAMPS) $(AUTOCONF)
install: all ## to DESTDIR and PREFIX=/usr/local; bindir= and its like move parts of it
	$(Q)install -d $(DESTDIR)$(bindir)
	$(Q)for program in $(PROGRAMS); do install -m 755 $$program $(DESTDIR)$(bindir)/ && \
		$(STRIP) $(DESTDIR)$(bindir)/$${program##*/} || exit 1; done
	$(Q)install -d $(DESTDIR)$(includedir)/charter $(DESTDIR)$(libdir)
	$(Q)install -m 644 $(wildcard include/charter/*.h) $(DESTDIR)$(includedir)/charter
	$(Q)install -m 644 $(SDK_LIB) $(DESTDIR)$(libdir)/libcharter-integration.a
	$(Q)$(STRIP) -g $(DESTDIR)$(libdir)/libcharter-integration.a
	$(Q)install -d $(DESTDIR)$(pkgconfigdir)
	$(Q)sed -e 's|@PREFIX@|$(prefix)|; s|@LIBDIR@|$(libdir)|; s|@INCLUDEDIR@|$(includedir)|; s|@VERSION@|$(VERSION)|' \
		port/pkgconfig/charter-integration.pc.in >$(DESTDIR)$(pkgconfigdir)/charter-integration.pc
	$(Q)for page in port/man/charter-integration.3 $(PROGRAMS:$(B)/%=port/man/%.[18]); do \
		install -d $(DESTDIR)$(mandir)/man$${page##*.} && \
		install -m 644 $$page $(DESTDIR)$(mandir)/man$${page##*.}/ || exit 1; done
	$(Q)install -d $(DESTDIR)$(bashcompletiondir) $(DESTDIR)$(zshcompletiondir)
	$(Q)for program in $(PROGRAMS:$(B)/%=%); do install -m 644 port/completion/charter.bash \
		$(DESTDIR)$(bashcompletiondir)/$$program || exit 1; done
	$(Q)install -m 644 port/completion/_charter $(DESTDIR)$(zshcompletiondir)/_charter

help: ## this list
	@echo 'make [TARGET] [B=build] [V=1] [WERROR=1] [CC=] [CFLAGS=] [LDFLAGS=] [DEPS=fetch|system] [DEPS_CACHE=DIR]'
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 18

clean: ## remove what was built; the configuration and fetched archives stay
	$(Q)if [ -f $(B)/.config ]; then mv $(B)/.config $(B).config.keep; fi; rm -rf $(B); \
		if [ -f $(B).config.keep ]; then mkdir -p $(B); mv $(B).config.keep $(B)/.config; fi
distclean: ## remove the build directory with the configuration
	$(Q)rm -rf $(B)

endif
