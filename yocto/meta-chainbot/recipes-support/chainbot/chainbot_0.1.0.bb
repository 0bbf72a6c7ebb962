SUMMARY = "Agent of ChainBot for small boards"
DESCRIPTION = "Registers with ALEX OS, beats at AIWM, reports the machine's health, takes and sends webhooks."
SECTION = "net"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=1cd3d6bafaf8564ff10ff4ead3c06594 \
                    file://LICENSE-APACHE;md5=86d3f3a95c324c9479bd8986968f4327"

CVE_PRODUCT = "chainbot"

# Where chainbot-*-vendored.tar.gz lies: a folder or a server of your own.
CHAINBOT_SITE ?= "file:///usr/src/chainbot"
SRC_URI = "${CHAINBOT_SITE}/chainbot-${PV}-vendored.tar.gz \
           file://chainbot.service \
           file://chainbot.init \
           file://config.toml \
           "
SRC_URI[sha256sum] = "0000000000000000000000000000000000000000000000000000000000000000"

S = "${UNPACKDIR}/chainbot-${PV}"

require ${BPN}-crates.inc

inherit cargo cargo-update-recipe-crates systemd update-rc.d useradd

SYSTEMD_SERVICE:${PN} = "chainbot.service"
INITSCRIPT_NAME = "chainbot"
INITSCRIPT_PARAMS = "defaults 60"
USERADD_PACKAGES = "${PN}"
USERADD_PARAM:${PN} = "--system --user-group --no-create-home --home-dir ${localstatedir}/lib/chainbot --shell /bin/false chainbot"

# The archive brings its crates along for others; here each is fetched and checked by its own hash.
do_configure:prepend() {
    rm -rf ${S}/VENDOR ${S}/.cargo
}

do_install() {
    install -D -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/chainbot ${D}${bindir}/chainbot
    install -D -m 0644 ${UNPACKDIR}/config.toml ${D}${sysconfdir}/chainbot/config.toml
    if ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'true', 'false', d)}; then
        install -D -m 0644 ${UNPACKDIR}/chainbot.service ${D}${systemd_system_unitdir}/chainbot.service
    fi
    if ${@bb.utils.contains('DISTRO_FEATURES', 'sysvinit', 'true', 'false', d)}; then
        install -D -m 0755 ${UNPACKDIR}/chainbot.init ${D}${sysconfdir}/init.d/chainbot
    fi
}

CONFFILES:${PN} = "${sysconfdir}/chainbot/config.toml"
