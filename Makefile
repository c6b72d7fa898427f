# Guise. `make run` and `make test` do all their own set-up on Debian; everything downloaded is cached outside the
# repository, in $GUISE_CACHE or ~/.cache/guise.

# Of `make run`: x86_64, i386 or riscv64.
ARCH ?= x86_64
PREFIX ?= /usr/local
SWIFT ?= swift

# Static and position independent. SwiftPM's own run path must go: a static PIE with DT_RUNPATH crashes at its start.
RELEASE = -c release --product guise --disable-local-rpath -Xswiftc -static-executable \
	-Xswiftc -use-ld=lld -Xswiftc -Xclang-linker -Xswiftc -static-pie
BINARY = .build/release/guise

# The OCI runtime starts several times for each container: static and not relocated at every start. Its flags differ, so it
# has a build directory of its own.
OCI_RELEASE = -c release --product guise-oci --scratch-path .build/oci -Xswiftc -static-executable
OCI_BINARY = .build/release/guise-oci

.PHONY: help build run test test-unit test-guests test-chaos test-tsan fuzz bench install uninstall clean

help:
	@echo "make run [ARCH=riscv64]   set everything up and boot Debian's kernel to a shell; poweroff ends it"
	@echo "make test                 set everything up and run all tests (test-unit, test-guests: one part)"
	@echo "make build                build $(BINARY)"
	@echo "make bench                measure against QEMU and rewrite the tables of docs/benchmarks.md"
	@echo "make install PREFIX=DIR   install binary, manual page and completions (default $(PREFIX))"

build:
	@Scripts/packages.sh build
	@Scripts/fresh-modules.sh release
	@echo "==> building (release)" >&2
	@$(SWIFT) build $(RELEASE) $$(test -t 1 || echo --quiet)
	@$(SWIFT) build $(OCI_RELEASE) $$(test -t 1 || echo --quiet)
	@install -m 755 .build/oci/release/guise-oci $(OCI_BINARY)

run: build
	@Scripts/run.sh $(ARCH)

test:
	@Scripts/test.sh unit guests

test-unit:
	@Scripts/test.sh unit

test-guests:
	@Scripts/test.sh guests

# The suites of the runtime's own threads under ThreadSanitizer.
test-tsan:
	@Scripts/test.sh tsan

# The random tests for long: GUISE_FUZZ times the usual rounds (50), from seed GUISE_FUZZ_SEED.
fuzz:
	@Scripts/test.sh fuzz

# The suspend/resume chaos test at its full length; test-guests does a short one.
test-chaos: build
	@Scripts/packages.sh guests
	@Tests/Guests/run --only chaos --chaos 100

bench: build
	@Scripts/packages.sh bench
	@for guest in riscv64 amd64; do Scripts/guests/make-root.sh $$guest >/dev/null && Benchmarks/run --guest $$guest --write && \
		Benchmarks/run --guest $$guest --machine --write || exit 1; done

# Builds only what is missing, so that `sudo make install` after `make build` compiles nothing as root.
install:
	@test -x $(BINARY) || $(MAKE) build
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/guise
	install -D -m 755 -s $(OCI_BINARY) $(DESTDIR)$(PREFIX)/bin/guise-oci
	install -D -m 644 docs/guise.1 $(DESTDIR)$(PREFIX)/share/man/man1/guise.1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(BINARY) completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/guise
	$(BINARY) completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_guise
	$(BINARY) completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/guise.fish

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/guise $(DESTDIR)$(PREFIX)/bin/guise-oci $(DESTDIR)$(PREFIX)/share/man/man1/guise.1 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/guise \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_guise \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/guise.fish

clean:
	rm -rf .build
