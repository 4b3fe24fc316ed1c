# sendmail365: build, test, install.  "make help" lists the targets.
#
# Switches: V=1 shows commands; WERROR=1; SANITIZE=1 builds with ASan and UBSan
# into build/sanitize; PREFIX BINDIR SBINDIR LIBDIR LIBEXECDIR MANDIR UNITDIR
# SYSCONFDIR LOCALSTATEDIR DESTDIR as usual; CFLAGS and LDFLAGS come after ours
# and do not replace them.

# The changelog is the one place of the version and of the time that packages
# bear.
VERSION := $(shell sed -n '1s/.*(\(.*\)).*/\1/p' packaging/debian/changelog)

PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
LIBEXECDIR ?= $(PREFIX)/libexec
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/sendmail365
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
APPARMORDIR ?= $(SYSCONFDIR)/apparmor.d
LOGROTATEDIR ?= $(SYSCONFDIR)/logrotate.d
SYSCONFDIR ?= /etc
LOCALSTATEDIR ?= /var
DESTDIR ?=
PKG_CONFIG ?= pkg-config
PYTHON ?= /usr/bin/python3
CLANG ?= clang
CFLAGS ?= -O2 -g
LDFLAGS ?=
SANITIZE ?=
WERROR ?=
V ?=

ifneq ($(SANITIZE),)
B := build/sanitize
else
B := build
endif

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' $(1) $(2))

cc-option = $(shell $(CC) -Werror $(1) -c -x c -o /dev/null /dev/null \
    2>/dev/null && echo '$(1)')

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion \
    -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
    -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wformat=2 \
    -Wswitch-enum -Wimplicit-fallthrough -Wnull-dereference \
    $(if $(WERROR),-Werror)
HARDENING := -fno-common -fno-strict-aliasing -fno-delete-null-pointer-checks \
    -U_FORTIFY_SOURCE -fstack-protector-strong -fstack-clash-protection -fPIE \
    $(call cc-option,-ftrivial-auto-var-init=zero) \
    $(call cc-option,-fzero-call-used-regs=used-gpr) \
    $(call cc-option,-fcf-protection=full) \
    $(call cc-option,-mbranch-protection=standard) \
    $(call cc-option,-fstrict-flex-arrays=3)
ifneq ($(SANITIZE),)
HARDENING += -fsanitize=address,undefined -fno-sanitize-recover=all \
    -fno-omit-frame-pointer
else
HARDENING += -D_FORTIFY_SOURCE=3
endif

DEFINES := -D_GNU_SOURCE -DSENDMAIL365_VERSION='"$(VERSION)"' \
    -DSENDMAIL365_SBINDIR='"$(SBINDIR)"' \
    -DSENDMAIL365_SYSCONFDIR='"$(SYSCONFDIR)"' \
    -DSENDMAIL365_LOCALSTATEDIR='"$(LOCALSTATEDIR)"'
PACKAGES := libssl libcrypto libsasl2 libcurl inih jansson
PACKAGE_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null)
PACKAGE_LIBS := $(shell $(PKG_CONFIG) --libs $(PACKAGES) 2>/dev/null) -lresolv

ALL_CFLAGS = -std=c17 $(DEFINES) -Ilib $(WARNINGS) $(HARDENING) \
    '-ffile-prefix-map=$(CURDIR)/=' $(PACKAGE_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(HARDENING) -pie -Wl,-z,relro,-z,now,-z,noexecstack \
    -Wl,--as-needed $(LDFLAGS)

LIB_SRC := $(sort $(wildcard lib/*/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o)
BASE_OBJ := $(filter $(B)/lib/core/% $(B)/lib/mail/%,$(LIB_OBJ))
SENDMAIL_OBJ := $(patsubst %.c,$(B)/%.o,$(sort $(wildcard cmd/sendmail/*.c)))
S365_OBJ := $(patsubst %.c,$(B)/%.o,$(sort $(wildcard cmd/sendmail365/*.c)))
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(B)/tests/unit/%)
FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_NAMES := $(FUZZ_SRC:tests/fuzz/%.c=%)
REPLAY_BIN := $(FUZZ_NAMES:%=$(B)/tests/fuzz/%)
# A folder of cmd/ is a program.
PROGRAMS := $(patsubst cmd/%/,$(B)/%,$(sort $(wildcard cmd/*/)))
C_FILES = $(sort $(wildcard lib/*/*.[ch] cmd/*/*.[ch] tests/*/*.[ch]))

.PHONY: all
all: tools $(PROGRAMS)

.PHONY: tools
tools:
	@$(PKG_CONFIG) --exists $(PACKAGES) && command -v $(CC) >/dev/null || \
	    { echo 'something is missing: run packaging/install-deps build' >&2; \
	    exit 1; }

.PHONY: help
help:
	@echo 'all      build/sendmail and build/sendmail365'
	@echo 'demo     install what is needed, send one message to a stand-in'
	@echo '         tenant, and show what happened to it'
	@echo 'check    install what is needed and run every test'
	@echo 'check-callers  run the programs that call sendmail, also the large ones'
	@echo 'check-packages  build the packages; install and use them in clean roots'
	@echo 'check-crash  kill each process at every single system call'
	@echo 'lint     format, style, static analysis, manual pages, scripts'
	@echo 'bench    time, CPU and memory beside others; a long queue'
	@echo 'fuzz     run the fuzz targets (FUZZ_RUNS=10000000, FUZZ_ONLY=NAME)'
	@echo 'install  to $$(DESTDIR)$$(PREFIX); uninstall takes it away again'
	@echo 'dist     build/sendmail365-VERSION.tar.gz, a source archive'
	@echo 'deb      packages for Debian and Ubuntu, into build/packages'
	@echo 'rpm      packages for Fedora and RHEL 9 with EPEL, into build/packages'
	@echo 'clean    remove build/'

# Version and paths are in the programs: with others, they are made again.
.PHONY: defines
defines:
$(B)/defines: defines
	@mkdir -p $(@D)
	@echo $(DEFINES) | cmp -s - $@ || echo $(DEFINES) >$@

$(B)/%.o: %.c $(B)/defines
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/sendmail: $(SENDMAIL_OBJ) $(BASE_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^

$(B)/sendmail365: $(S365_OBJ) $(LIB_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PACKAGE_LIBS)

# ---- tests ----

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(LIB_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PACKAGE_LIBS) -lcmocka

# The fuzz targets with a main() of ours: replays a corpus with any compiler.
$(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(B)/tests/fuzz/replay.o $(LIB_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PACKAGE_LIBS)

.PHONY: deps
deps:
	@packaging/install-deps build demo check

# Programs that call sendmail go into a layer that only their tests see.
.PHONY: callers callers-large
callers callers-large: deps
	@if [ "$$(id -u)" = 0 ]; then \
		tests/callers/private-root --install packaging/install-deps \
		    $@ $(if $(filter %-large,$@),callers); \
	fi || echo 'some programs that call sendmail are not tested' >&2

# All processors, unless it has been said how many.
jobs = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: build-tests
build-tests: $(PROGRAMS) $(UNIT_BIN) $(REPLAY_BIN)

.PHONY: check-unit
check-unit: $(UNIT_BIN)
	$(Q)for test in $(UNIT_BIN); do $$test || exit 1; done

# WITH_PACKAGES=1 runs the tests of packages as well, among the others.
.PHONY: check
check: deps callers $(if $(WITH_PACKAGES),package-deps)
	@$(MAKE) --no-print-directory $(jobs) WERROR=1 build-tests
	@$(MAKE) --no-print-directory $(jobs) WERROR=1 SANITIZE=1 build-tests
	@tests/run $(if $(WITH_PACKAGES),--packages)

.PHONY: check-callers
check-callers: deps callers-large all
	@tests/run callers/

.PHONY: package-deps
package-deps: deps
	@packaging/install-deps deb rpm packages

.PHONY: check-packages
check-packages: package-deps
	@$(MAKE) --no-print-directory $(jobs) all
	@tests/run packages/

.PHONY: check-crash
check-crash: deps $(PROGRAMS)
	@SENDMAIL365_CRASH=all $(PYTHON) -m pytest -q -p no:cacheprovider \
	    tests/integration/test_crash.py

.PHONY: demo
demo:
	@packaging/install-deps build demo
	@$(MAKE) --no-print-directory all
	@tests/demo

.PHONY: bench
bench: deps all
	@$(PYTHON) tests/bench/bench.py
	@$(PYTHON) tests/bench/return_time.py
	@$(PYTHON) tests/bench/scale.py
	@$(PYTHON) tests/bench/storm.py

# ---- fuzzing: clang's libFuzzer, objects of their own ----

FUZZ_RUNS ?= 10000000
FUZZ_ONLY ?= $(FUZZ_NAMES)
FUZZ_FLAGS := -std=c17 $(DEFINES) -Ilib $(PACKAGE_CFLAGS) -O2 -g \
    -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZ_OBJ := $(LIB_SRC:%.c=build/fuzz/%.o)

build/fuzz/%.o: %.c
	@mkdir -p $(@D)
	$(call say,FUZZ-CC,$<)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

build/fuzz/fuzz_%: build/fuzz/tests/fuzz/fuzz_%.o $(FUZZ_OBJ)
	$(call say,FUZZ-LD,$@)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(PACKAGE_LIBS)

.PHONY: fuzz
fuzz:
	@packaging/install-deps build fuzz
	@$(MAKE) --no-print-directory $(FUZZ_ONLY:%=build/fuzz/%)
	@for t in $(FUZZ_ONLY); do \
		mkdir -p build/fuzz/corpus/$$t && \
		dict=tests/fuzz/$$t.dict && \
		build/fuzz/$$t -runs=$(FUZZ_RUNS) -max_len=8192 -timeout=10 \
		    -print_final_stats=1 $$([ -f $$dict ] && echo -dict=$$dict) \
		    -artifact_prefix=build/fuzz/ build/fuzz/corpus/$$t \
		    tests/fuzz/corpus/$$t || exit 1; \
	done

# ---- checks without running ----

.PHONY: lint
lint:
	@packaging/install-deps build lint
	@packaging/lint $(C_FILES)

.PHONY: tidy
tidy:
	$(Q)clang-tidy --quiet $(filter %.c,$(C_FILES)) -- -std=c17 $(DEFINES) \
	    -Ilib $(PACKAGE_CFLAGS)

# ---- install ----

.PHONY: install
install: all
	@if [ -z "$(DESTDIR)" ] && { dpkg -S $(SBINDIR)/sendmail || \
	    rpm -qf $(SBINDIR)/sendmail; } >/dev/null 2>&1; then \
		echo '$(SBINDIR)/sendmail belongs to a package: remove that' \
		    'first, or install with PREFIX=/usr/local' >&2; exit 1; fi
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) \
	    $(DESTDIR)$(LIBDIR) $(DESTDIR)$(LIBEXECDIR)/sendmail365 \
	    $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 \
	    $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(SYSCONFDIR)/sendmail365 \
	    $(DESTDIR)$(DOCDIR) $(DESTDIR)$(COMPLETIONDIR) \
	    $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSUSERSDIR) \
	    $(DESTDIR)$(TMPFILESDIR) $(DESTDIR)$(APPARMORDIR) \
	    $(DESTDIR)$(LOGROTATEDIR)
	install -d -m 0700 $(DESTDIR)$(SYSCONFDIR)/sendmail365/secrets
	install -m 0755 $(B)/sendmail365 $(DESTDIR)$(SBINDIR)
	install -m 0755 $(B)/sendmail etc/sendmail365-start \
	    $(DESTDIR)$(LIBEXECDIR)/sendmail365
	ln -sf $(LIBEXECDIR)/sendmail365/sendmail $(DESTDIR)$(SBINDIR)/sendmail
	ln -sf $(SBINDIR)/sendmail $(DESTDIR)$(BINDIR)/mailq
	ln -sf $(SBINDIR)/sendmail $(DESTDIR)$(BINDIR)/newaliases
	ln -sf $(SBINDIR)/sendmail $(DESTDIR)$(LIBDIR)/sendmail
	install -m 0644 cmd/sendmail/sendmail.8 cmd/sendmail365/sendmail365.8 \
	    $(DESTDIR)$(MANDIR)/man8
	install -m 0644 cmd/sendmail365/sendmail365.conf.5 $(DESTDIR)$(MANDIR)/man5
	install -m 0644 cmd/sendmail/mailq.1 cmd/sendmail/newaliases.1 \
	    $(DESTDIR)$(MANDIR)/man1
	install -m 0644 etc/bash-completion $(DESTDIR)$(COMPLETIONDIR)/sendmail365
	install -m 0644 etc/systemd/* $(DESTDIR)$(UNITDIR)
	install -m 0644 etc/sysusers.conf $(DESTDIR)$(SYSUSERSDIR)/sendmail365.conf
	install -m 0644 etc/tmpfiles.conf $(DESTDIR)$(TMPFILESDIR)/sendmail365.conf
	install -m 0644 etc/apparmor/sendmail365 $(DESTDIR)$(APPARMORDIR)
	install -m 0644 etc/logrotate.conf $(DESTDIR)$(LOGROTATEDIR)/sendmail365
	install -m 0644 README.md LICENSE etc/sendmail365.conf $(DESTDIR)$(DOCDIR)
	sed -i -e 's,/usr/sbin/sendmail365,$(SBINDIR)/sendmail365,' \
	    -e 's,/usr/libexec/sendmail365,$(LIBEXECDIR)/sendmail365,' \
	    $(DESTDIR)$(LIBEXECDIR)/sendmail365/sendmail365-start \
	    $(DESTDIR)$(UNITDIR)/sendmail365.service \
	    $(DESTDIR)$(APPARMORDIR)/sendmail365 \
	    $(DESTDIR)$(LOGROTATEDIR)/sendmail365

.PHONY: uninstall
uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/sendmail $(DESTDIR)$(SBINDIR)/sendmail365 \
	    $(DESTDIR)$(BINDIR)/mailq $(DESTDIR)$(BINDIR)/newaliases \
	    $(DESTDIR)$(LIBDIR)/sendmail $(DESTDIR)$(MANDIR)/man8/sendmail.8 \
	    $(DESTDIR)$(MANDIR)/man8/sendmail365.8 \
	    $(DESTDIR)$(MANDIR)/man5/sendmail365.conf.5 \
	    $(DESTDIR)$(MANDIR)/man1/mailq.1 \
	    $(DESTDIR)$(MANDIR)/man1/newaliases.1 \
	    $(DESTDIR)$(COMPLETIONDIR)/sendmail365 \
	    $(DESTDIR)$(UNITDIR)/sendmail365.service \
	    $(DESTDIR)$(UNITDIR)/sendmail365.socket \
	    $(DESTDIR)$(SYSUSERSDIR)/sendmail365.conf \
	    $(DESTDIR)$(TMPFILESDIR)/sendmail365.conf \
	    $(DESTDIR)$(APPARMORDIR)/sendmail365 \
	    $(DESTDIR)$(LOGROTATEDIR)/sendmail365
	rm -rf $(DESTDIR)$(DOCDIR) $(DESTDIR)$(LIBEXECDIR)/sendmail365

.PHONY: dist
dist:
	@packaging/dist

.PHONY: deb
deb:
	@packaging/install-deps build deb
	@packaging/deb

.PHONY: rpm
rpm:
	@packaging/install-deps build rpm
	@packaging/rpm/build

.PHONY: clean
clean:
	rm -rf build

.SECONDARY:
-include $(LIB_OBJ:.o=.d) $(SENDMAIL_OBJ:.o=.d) $(S365_OBJ:.o=.d)
-include $(UNIT_BIN:%=%.d) $(REPLAY_BIN:%=%.d) $(FUZZ_OBJ:.o=.d)
