################################################################################
#
# chainbot
#
################################################################################

CHAINBOT_VERSION = 0.1.0
CHAINBOT_LICENSE = MIT or Apache-2.0
CHAINBOT_CONFIG = $(call qstrip,$(BR2_PACKAGE_CHAINBOT_CONFIG))

ifeq ($(CHAINBOT_CONFIG),)
CHAINBOT_CONFIG = $(CHAINBOT_PKGDIR)/config.toml
endif

define CHAINBOT_INSTALL_CONFIG
	$(INSTALL) -D -m 0644 $(CHAINBOT_CONFIG) $(TARGET_DIR)/etc/chainbot/config.toml
endef
CHAINBOT_POST_INSTALL_TARGET_HOOKS += CHAINBOT_INSTALL_CONFIG

# systemd makes a user of its own for each run.
ifneq ($(BR2_INIT_SYSTEMD),y)
define CHAINBOT_USERS
	chainbot -1 chainbot -1 * /var/lib/chainbot - - ChainBot
endef

define CHAINBOT_PERMISSIONS
	/var/lib/chainbot d 700 chainbot chainbot - - - - -
endef
endif

define CHAINBOT_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(CHAINBOT_PKGDIR)/S60chainbot $(TARGET_DIR)/etc/init.d/S60chainbot
endef

define CHAINBOT_INSTALL_INIT_OPENRC
	$(INSTALL) -D -m 0755 $(CHAINBOT_PKGDIR)/chainbot.initd $(TARGET_DIR)/etc/init.d/chainbot
endef

define CHAINBOT_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(CHAINBOT_PKGDIR)/chainbot.service \
		$(TARGET_DIR)/usr/lib/systemd/system/chainbot.service
endef

ifeq ($(BR2_PACKAGE_CHAINBOT_PREBUILT),y)

# Nothing is downloaded: the program lies where the user said.
CHAINBOT_SOURCE =

define CHAINBOT_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(call qstrip,$(BR2_PACKAGE_CHAINBOT_PROGRAM)) $(TARGET_DIR)/usr/bin/chainbot
endef

$(eval $(generic-package))

else

# Holds VENDOR/ and .cargo/config.toml already: no step of the infrastructure asks a registry.
CHAINBOT_SITE = $(call qstrip,$(BR2_PACKAGE_CHAINBOT_SITE))
CHAINBOT_SOURCE = chainbot-$(CHAINBOT_VERSION)-vendored.tar.gz
CHAINBOT_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE

# The infrastructure sets its own profile; this comes after it.
CHAINBOT_CARGO_ENV = \
	CARGO_PROFILE_RELEASE_OPT_LEVEL=s \
	CARGO_PROFILE_RELEASE_LTO=fat \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
	CARGO_PROFILE_RELEASE_PANIC=abort

$(eval $(cargo-package))

endif
