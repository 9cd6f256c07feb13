# As much of Buildroot as the package uses. The toolchain is this machine's. The steps are targets, in
# the package's build folder, as there: source, extract, configure, build, install. As there, a local site downloads nothing.
include $(BR2_CONFIG)
TARGET_CROSS :=
TARGET_CC := gcc -pipe
TARGET_AR := ar
TARGET_NM := nm
TARGET_CFLAGS := -O0
TARGET_CPPFLAGS :=
TARGET_LDFLAGS :=
TARGET_MAKE_ENV := env
INSTALL := install
BASE_DIR := $(WORK)
BUILD_DIR := $(WORK)
STAGING_DIR := $(WORK)/staging
TARGET_DIR := $(WORK)/target
sep := ,

define stub_package
CHARTER_DAEMON_PKGDIR := $(dir $(firstword $(filter %/charter-daemon.mk,$(MAKEFILE_LIST))))
CHARTER_DAEMON_DL_DIR := $(WORK)/dl
ifeq ($$(CHARTER_DAEMON_SITE_METHOD),local)
CHARTER_DAEMON_EXTRA_DOWNLOADS :=
endif
.PHONY: source extract configure build install users
source:
	@$$(foreach url,$$(CHARTER_DAEMON_SITE)/$$(CHARTER_DAEMON_SOURCE) $$(CHARTER_DAEMON_EXTRA_DOWNLOADS),echo '$$(notdir $$(url)) $$(url)';)
extract: $(TREE)/.stamp_extracted
$(TREE)/.stamp_extracted:
	$$(CHARTER_DAEMON_EXTRACT_CMDS)
configure: $(TREE)/.stamp_configured
$(TREE)/.stamp_configured: $(TREE)/.stamp_extracted
	$$(foreach hook,$$(CHARTER_DAEMON_PRE_CONFIGURE_HOOKS),$$($$(hook))$$(sep))
	$$(CHARTER_DAEMON_CONFIGURE_CMDS)
build: $(TREE)/.stamp_built
$(TREE)/.stamp_built: $(TREE)/.stamp_configured
	+$$(CHARTER_DAEMON_BUILD_CMDS)
install: $(TREE)/.stamp_installed
$(TREE)/.stamp_installed: $(TREE)/.stamp_built
	$$(CHARTER_DAEMON_INSTALL_STAGING_CMDS)
	$$(CHARTER_DAEMON_INSTALL_TARGET_CMDS)
	$$(CHARTER_DAEMON_INSTALL_INIT_SYSV)
	$$(CHARTER_DAEMON_INSTALL_INIT_SYSTEMD)
endef
# A hook is several lines.
define sep


endef
generic-package = $(stub_package)

include $(BR2_EXTERNAL_CHARTER_PATH)/external.mk
$(foreach name,VERSION SITE SOURCE LICENSE LICENSE_FILES,$(if $(CHARTER_DAEMON_$(name)),,$(error no CHARTER_DAEMON_$(name))))
