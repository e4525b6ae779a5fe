# What a developer or packager types. `make help` lists it.

TOOLS    = pause nsrun cgset mkbox netwire podspec
CARGO   ?= cargo
PREFIX  ?= /usr/local
BINDIR  ?= $(PREFIX)/bin
MANDIR  ?= $(PREFIX)/share/man
# Where the script pod looks, from BINDIR: ../share/chroot0
DATADIR ?= $(PREFIX)/share/chroot0
UNITDIR ?= $(PREFIX)/lib/systemd/system
# What shells complete; where each looks by itself
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d

# musl, because a glibc program spends most of a millisecond before main() on a virtual machine; glibc where
# the musl target is not installed and rustup cannot bring it. Both are linked statically.
ifndef TARGET
TARGET  := $(shell scripts/target.sh)
endif
GNU     := $(shell uname -m)-unknown-linux-gnu
OUT      = $(or $(CARGO_TARGET_DIR),target)/$(TARGET)/release
OUT_GNU  = $(or $(CARGO_TARGET_DIR),target)/$(GNU)/debug

# Where make install puts a tree that is tested as it is installed.
STAGE    = $(abspath $(or $(CARGO_TARGET_DIR),target))/stage

# Packages of Debian and their kin that are used while building, showing and testing; the tools need none.
DEMO_PACKAGES = busybox-static curl iproute2 mount procps
TEST_PACKAGES = $(DEMO_PACKAGES) bubblewrap containernetworking-plugins crun dnsmasq-base golang-github-opencontainers-specs-dev iptables iputils-ping jq libc-bin libcap2-bin nftables python3 strace uidmap util-linux
VM_PACKAGES = $(TEST_PACKAGES) cpio kmod qemu-system-x86
IMAGE_PACKAGES = cpio e2fsprogs kmod mmdebstrap qemu-system-x86
# On cgroup v2 and the first root: the tools' own tests (of mkbox those that do not race with it, which takes long where processors
# are emulated), and of the stories those about groups (VM_QUICK, which make test runs). And what Debian's kernel has and not every
# other, or has not: VLANs of a bridge, SCTP, deleting connections by a filter (nat). The others take as long again, and any can be named:
# make test-vm VM_STORIES="prefixes wait"
VM_TESTS = --package cgset --package mkbox --package netwire --package nsrun --package tests $(VM_STORIES:%=--test %) \
  --test cli --test groups --test processes --test control --test parent --test compat --test terminal --test life
VM_QUICK = laws limits v2
VM_STORIES = $(VM_QUICK) pipe vlan sctp nat
DEB_PACKAGES = debhelper dpkg-dev jq lintian
# What does more with CHROOT0_SWEEP=all or CHROOT0_LONG=1.
LONG_TESTS = faults faults_net faults_restart faults_told killed load mutated stages
LINT_PACKAGES = shellcheck
IMAGES = scripts/vm/images
BENCH_PACKAGES = $(DEMO_PACKAGES) bubblewrap containernetworking-plugins crun iptables jailkit nftables python3 socat strace

# What the bench of make ci measures: that it runs, and the ratios for whoever reads the log.
SMOKE_PARTS = nsrun cgset
CI_STEPS = lint test deb bench-smoke

.PHONY: all help demo test test-gnu test-long test-vm test-images test-systemd lint bench bench-smoke ci install pause-image deb test-deb \
  dist test-dist clean

# Where it was built says nothing to whoever reads a backtrace elsewhere, and two builds shall not differ by it.
PLAIN_PATHS = --config 'target.$(TARGET).rustflags=["--remap-path-prefix=$(CURDIR)=.", "--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo"]'

all: ## build the five tools and podspec, static, into target/
	$(CARGO) build --release --locked --workspace --exclude tests --exclude fuzz --target $(TARGET) $(PLAIN_PATHS)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: all ## a pod is made, shown, used and taken down, in namespaces of its own (root)
	@scripts/packages.sh $(DEMO_PACKAGES)
	@PATH="$(abspath $(OUT)):$$PATH" scripts/demo.sh

test: all ## everything: units, command lines, and the tools against the kernel (root)
	@scripts/packages.sh $(TEST_PACKAGES)
	CHROOT0_BIN="$(abspath $(OUT))" $(CARGO) test --locked --workspace --target $(TARGET)
	$(MAKE) --no-print-directory pause-image
	$(if $(filter-out $(GNU),$(TARGET)),$(MAKE) test-gnu)
	$(MAKE) --no-print-directory test-vm VM_STORIES="$(VM_QUICK)"

test-gnu: ## the tools as glibc builds them, with the checks of a debug build, against the kernel
	$(CARGO) build --locked --workspace --exclude tests --exclude fuzz --target $(GNU)
	CHROOT0_BIN="$(abspath $(OUT_GNU))" $(CARGO) test --locked --package tests --target $(TARGET) -- --skip any_stage_of_pod

test-long: all ## each fault at each system call, much bad input, long soaks, a thousand pods: hours (root)
	@scripts/packages.sh $(TEST_PACKAGES)
	CHROOT0_LONG=1 $(CARGO) test --locked --workspace --exclude tests --target $(TARGET) bad_input
	CHROOT0_BIN="$(abspath $(OUT))" CHROOT0_SWEEP=all CHROOT0_LONG=1 CHROOT0_TEST_SECONDS=3600 $(CARGO) test --locked --package tests --target $(TARGET) \
	  $(LONG_TESTS:%=--test %) --no-fail-fast
	$(MAKE) --no-print-directory bench PARTS=many

test-vm: all ## on cgroup v2 alone and on an initramfs, in a virtual machine (root)
	@scripts/packages.sh $(VM_PACKAGES) || :
	@CHROOT0_BIN="$(abspath $(OUT))" scripts/vm.sh $$(CHROOT0_BIN="$(abspath $(OUT))" $(CARGO) test --locked $(VM_TESTS) \
	  --target $(TARGET) --no-run --message-format json | jq -r 'select(.target.kind == ["test"]) | .executable // empty')

test-images: deb ## the packages in a Debian and in initramfs of four makers, booted in virtual machines, a pod in each (root)
	@scripts/packages.sh $(IMAGE_PACKAGES) || :
	@scripts/vm-images.sh $(addprefix $(or $(CARGO_TARGET_DIR),target)/deb/chroot0,_*.deb -initramfs_*.deb)

test-systemd: all ## pods as services of systemd, in a virtual machine where it is PID 1 (root)
	@scripts/packages.sh $(VM_PACKAGES) mmdebstrap
	@rm -rf $(STAGE)
	@$(MAKE) --no-print-directory install PREFIX=/usr DESTDIR=$(STAGE) >/dev/null
	@scripts/vm-systemd.sh $(STAGE)

lint: ## formatting, clippy, shellcheck
	@scripts/packages.sh $(LINT_PACKAGES)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --target $(TARGET) -- -D warnings
	shellcheck --norc scripts/*.sh scripts/bench/*.sh scripts/chroot0/*.sh scripts/vm/*.sh .ci/run
	shellcheck --norc -s sh scripts/pod scripts/pod.d/*.sh packaging/initramfs/initramfs-tools debian/*.preinst debian/*.postrm \
	  scripts/vm/images.init $(IMAGES)/etc/initramfs-tools/*/check $(IMAGES)/etc/initramfs-tools/scripts/*/check \
	  $(IMAGES)/usr/local/sbin/check $(IMAGES)/usr/lib/dracut/modules.d/99check/pod.sh
	shellcheck --norc -s bash packaging/completions/bash/pod packaging/initramfs/module-setup.sh packaging/initramfs/mkinitcpio \
	  $(IMAGES)/usr/lib/dracut/modules.d/99check/module-setup.sh $(IMAGES)/usr/lib/initcpio/install/check

bench: all ## side by side with peers, as ratios (root; PARTS="mkbox netwire": only those)
	@scripts/packages.sh $(BENCH_PACKAGES)
	@PATH="$(abspath $(OUT)):$$PATH" scripts/bench.sh $(PARTS)

bench-smoke: ## a few runs of a few parts
	@$(MAKE) --no-print-directory bench RUNS=5 PARTS="$(SMOKE_PARTS)"

ci: ## all that a change has to pass, and how long each step took
	@set -e; for step in $(CI_STEPS); do begin=$$(date +%s); $(MAKE) --no-print-directory $$step; \
	  took="$$took$$step $$(($$(date +%s) - begin)) s, "; echo "ci: $${took%, }"; done

install: all ## into DESTDIR, PREFIX
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man7
	install -m 755 $(TOOLS:%=$(OUT)/%) $(DESTDIR)$(BINDIR)
	install -m 644 $(foreach tool,$(TOOLS),$(tool)/$(tool)*.1) scripts/pod.1 $(DESTDIR)$(MANDIR)/man1
	install -m 644 record/pod-record.5 $(DESTDIR)$(MANDIR)/man5
	install -m 644 scripts/chroot0/chroot0.7 $(DESTDIR)$(MANDIR)/man7
	install -d $(DESTDIR)$(DATADIR)/pod.d
	install -m 755 scripts/pod $(DESTDIR)$(BINDIR)
	install -m 644 scripts/pod.d/*.sh $(DESTDIR)$(DATADIR)/pod.d
	install -m 644 record/pod-record.schema.json $(DESTDIR)$(DATADIR)
	install -d $(DESTDIR)$(UNITDIR)
	sed 's#@BINDIR@#$(BINDIR)#' scripts/systemd/pod@.service >$(DESTDIR)$(UNITDIR)/pod@.service
	chmod 644 $(DESTDIR)$(UNITDIR)/pod@.service
	install -D -m 644 -t $(DESTDIR)$(BASHDIR) packaging/completions/bash/*
	install -D -m 644 -t $(DESTDIR)$(ZSHDIR) packaging/completions/zsh/*
	install -D -m 644 -t $(DESTDIR)$(FISHDIR) packaging/completions/fish/*

pause-image: ## pause as an OCI image archive, for podman, containerd and docker (IMAGE=NAME:TAG)
	@SOURCE_DATE_EPOCH="$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 0)}" CARGO="$(CARGO)" \
		scripts/pause-image.sh $(or $(CARGO_TARGET_DIR),target)/pause-image.tar

deb: ## packages for Debian and their kin, into target/deb
	@scripts/packages.sh $(DEB_PACKAGES)
	@TARGET=$(TARGET) scripts/deb.sh

test-deb: deb ## the packages, installed, used and removed in a Debian of their own (root)
	@scripts/packages.sh mmdebstrap
	@PATH="$(abspath $(OUT)):$$PATH" scripts/test-deb.sh $(addprefix $(or $(CARGO_TARGET_DIR),target)/deb/chroot0,_*.deb -initramfs_*.deb)

dist: ## the source with what it is built from, for builders without a network, into target/dist
	@scripts/dist.sh

test-dist: ## the archive and the packages made twice, in two directories and without a network: the same bytes
	@scripts/packages.sh $(DEB_PACKAGES)
	@scripts/test-dist.sh

clean: ## what was built
	$(CARGO) clean
