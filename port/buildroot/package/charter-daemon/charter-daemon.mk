################################################################################
#
# charter-daemon
#
################################################################################

# The source is the tree that this external tree is in. Buildroot downloads nothing for a package whose
# site is local; so the site is that of the archives of port/deps/lock, which are checked against
# charter-daemon.hash, and extracting copies the tree and hands them to it.
CHARTER_DAEMON_VERSION = 0.1.0
CHARTER_DAEMON_TREE = $(BR2_EXTERNAL_CHARTER_PATH)/../..
CHARTER_DAEMON_SITE = https://github.com/Mbed-TLS/mbedtls/releases/download/mbedtls-3.6.7
CHARTER_DAEMON_SOURCE = mbedtls-3.6.7.tar.bz2
CHARTER_DAEMON_EXTRA_DOWNLOADS = \
	https://github.com/tatsuhiro-t/wslay/archive/refs/tags/release-1.1.1.tar.gz \
	https://github.com/zserge/jsmn/archive/refs/tags/v1.1.0.tar.gz \
	https://github.com/yaml/libyaml/archive/refs/tags/0.2.5.tar.gz
CHARTER_DAEMON_LICENSE = MIT, Apache-2.0 or GPL-2.0+ (Mbed TLS)
CHARTER_DAEMON_LICENSE_FILES = LICENSE
CHARTER_DAEMON_INSTALL_STAGING = YES

ifeq ($(BR2_PACKAGE_CHARTER_DAEMON_GATEWAY),y)
CHARTER_DAEMON_DEPENDENCIES += sqlite
endif

# Kconfig's tool is Buildroot's own, which is there as soon as there is a configuration.
CHARTER_DAEMON_KCONF = $(BUILD_DIR)/buildroot-config/conf

CHARTER_DAEMON_FLAGS = \
	V=1 B=$(@D)/build KCONF=$(CHARTER_DAEMON_KCONF) \
	DEPS_CACHE=$(@D)/archives DEPS_OFFLINE=1 \
	CROSS_COMPILE="$(TARGET_CROSS)" CC="$(TARGET_CC)" AR="$(TARGET_AR)" NM="$(TARGET_NM)" DEPS_SQLITE=system HARDEN= \
	CFLAGS="$(TARGET_CFLAGS)" CPPFLAGS="$(TARGET_CPPFLAGS)" LDFLAGS="$(TARGET_LDFLAGS)" \
	PREFIX=/usr STRIP=:

# The archives get the names that port/deps/lock has for them.
define CHARTER_DAEMON_EXTRACT_CMDS
	mkdir -p $(@D)/archives
	cp -R $(addprefix $(CHARTER_DAEMON_TREE)/,Makefile Kconfig LICENSE include src port) $(@D)/
	cp $(CHARTER_DAEMON_DL_DIR)/mbedtls-3.6.7.tar.bz2 $(@D)/archives/mbedtls-3.6.7.tar.bz2
	cp $(CHARTER_DAEMON_DL_DIR)/release-1.1.1.tar.gz $(@D)/archives/wslay-1.1.1.tar.gz
	cp $(CHARTER_DAEMON_DL_DIR)/v1.1.0.tar.gz $(@D)/archives/jsmn-1.1.0.tar.gz
	cp $(CHARTER_DAEMON_DL_DIR)/0.2.5.tar.gz $(@D)/archives/libyaml-0.2.5.tar.gz
endef

define CHARTER_DAEMON_CONFIGURE_CMDS
	[ -x $(CHARTER_DAEMON_KCONF) ] || $(MAKE) -C $(TOPDIR) O=$(BASE_DIR) $(CHARTER_DAEMON_KCONF)
	mkdir -p $(@D)/build
	sed -n 's/^\(# \)\{0,1\}BR2_PACKAGE_CHARTER_DAEMON_\([A-Z0-9_]*\)\(=.*\| is not set\)$$/\1CONFIG_\2\3/p' \
		$(BR2_CONFIG) >$(@D)/build/.config
endef

define CHARTER_DAEMON_BUILD_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) -C $(@D) $(CHARTER_DAEMON_FLAGS) all
endef

define CHARTER_DAEMON_INSTALL_STAGING_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) -C $(@D) $(CHARTER_DAEMON_FLAGS) DESTDIR=$(STAGING_DIR) install
endef

define CHARTER_DAEMON_INSTALL_TARGET_CMDS
	$(TARGET_MAKE_ENV) $(MAKE) -C $(@D) $(CHARTER_DAEMON_FLAGS) DESTDIR=$(TARGET_DIR) install
endef

# -1: any free number; no shell, no password. The daemon and its integrations run as this user.
define CHARTER_DAEMON_USERS
	_charter -1 _charter -1 * /var/lib/charter - - Charter daemon
	_charter-gateway -1 _charter-gateway -1 * /var/lib/charter-gateway - - Charter gateway
endef

define CHARTER_DAEMON_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 755 $(CHARTER_DAEMON_PKGDIR)/S90charter-daemon $(TARGET_DIR)/etc/init.d/S90charter-daemon
endef

ifeq ($(BR2_PACKAGE_CHARTER_DAEMON_GATEWAY),y)
define CHARTER_DAEMON_INSTALL_GATEWAY_UNIT
	$(INSTALL) -D -m 644 $(@D)/port/systemd/charter-gateway.service \
		$(TARGET_DIR)/usr/lib/systemd/system/charter-gateway.service
endef
endif
define CHARTER_DAEMON_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 644 $(@D)/port/systemd/charter-daemon@.service \
		$(TARGET_DIR)/usr/lib/systemd/system/charter-daemon@.service
	$(CHARTER_DAEMON_INSTALL_GATEWAY_UNIT)
endef

$(eval $(generic-package))
