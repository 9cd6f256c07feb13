# As much of OpenWrt's package.mk as the package uses, with targets for the test: `menu` prints what
# menuconfig would read, `download` checks archives, `compile` and `install` build in $(PKG_BUILD_DIR)
# and put each package in $(TOPDIR)/PACKAGE.
$(foreach name,PKG_NAME PKG_VERSION PKG_RELEASE PKG_LICENSE,$(if $($(name)),,$(error $(name) is not set)))
PKG_INSTALL_DIR := $(TOPDIR)/ipkg-install
SOURCE := $(CURDIR)

.PHONY: menu depends download compile install
menu: ; @:
depends: ; @printf '%s\n' $(PKG_CONFIG_DEPENDS)

# $(call Download,NAME), with the fields of Download/NAME
define Download
  FILE:=
  URL:=
  URL_FILE:=
  HASH:=
  $(eval $(Download/$(1)))
  $(eval DOWNLOADED += $(FILE))
  $(foreach field,FILE URL HASH,$(if $($(field)),,$(error Download/$(1) has no $(field))))
  download: download-$(1)
  .PHONY: download-$(1)
  download-$(1):
	@echo "$(1) $(FILE) $(HASH) $(URL)/$(or $(URL_FILE),$(FILE))"
	@echo "$(HASH)  $(DL_DIR)/$(FILE)" | sha256sum -c --quiet
endef

# Made into rules by eval, as there: what stands in the package's recipes is expanded twice.
define core_targets
compile:
	$(Build/Prepare)
	$(Build/Configure)
	$(Build/Compile)
	$(call Build/InstallDev,$(TOPDIR)/staging)
core_targets :=
endef

define BuildPackage
  $(eval $(core_targets))
  TITLE:=
  DEPENDS:=
  $(eval $(Package/$(1)))
  $(foreach field,TITLE SECTION CATEGORY,$(if $($(field)),,$(error Package/$(1) has no $(field))))
  $(if $(Package/$(1)/description),,$(error Package/$(1) has no description))
  menu: menu-$(1)
  .PHONY: menu-$(1) install-$(1)
  export MENU_TEXT_$(subst -,_,$(1)) := $$(Package/$(1)/config)
  menu-$(1):
	@printf 'config PACKAGE_$(1)\n\tbool "$(TITLE)"\n%s\n' "$$$${MENU_TEXT_$(subst -,_,$(1))}"
  install: install-$(1)
  install-$(1): compile
	$(call Package/$(1)/install,$(TOPDIR)/$(1))
endef
