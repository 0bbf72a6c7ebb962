SUMMARY = "Small image that boots into ChainBot"
DESCRIPTION = "Packagegroup to boot, and the agent as a service that starts at boot."
SECTION = "base"
CVE_PRODUCT = ""
LICENSE = "MIT"

IMAGE_INSTALL = "packagegroup-core-boot chainbot ${CORE_IMAGE_EXTRA_INSTALL}"

inherit core-image
