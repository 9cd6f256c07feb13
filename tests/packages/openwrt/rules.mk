# As much of OpenWrt's rules.mk as the package uses. The toolchain is this machine's.
-include $(TOPDIR)/.config
INCLUDE_DIR := $(TOPDIR)/include
TARGET_CROSS :=
TARGET_CC := gcc -pipe
TARGET_CFLAGS := -O0
TARGET_CPPFLAGS :=
TARGET_LDFLAGS :=
PKG_JOBS := -j2
INSTALL_DIR := install -d -m0755
INSTALL_BIN := install -m0755
INSTALL_DATA := install -m0644
INSTALL_CONF := install -m0600
CP := cp -fpR
