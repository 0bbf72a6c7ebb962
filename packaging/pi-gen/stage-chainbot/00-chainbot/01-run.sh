#!/bin/bash -e
# pi-gen gives ROOTFS_DIR, ARCH (armhf or arm64) and on_chroot.

shopt -s nullglob
debs=(files/chainbot_*_"${ARCH}".deb)
if [ ${#debs[@]} -ne 1 ]; then
	echo "put exactly one chainbot_*_${ARCH}.deb into $(pwd)/files" >&2
	exit 1
fi

# Not /tmp: a tmpfs hides it in the chroot.
install -m 644 "${debs[0]}" "${ROOTFS_DIR}/var/cache/chainbot.deb"
on_chroot <<- EOT
	apt-get install -y --no-install-recommends /var/cache/chainbot.deb
EOT
rm "${ROOTFS_DIR}/var/cache/chainbot.deb"

if [ -f files/config.toml ]; then
	install -m 644 files/config.toml "${ROOTFS_DIR}/etc/chainbot/config.toml"
fi

cmdline="${ROOTFS_DIR}/boot/firmware/cmdline.txt"
if [ -f "${cmdline}" ] && ! grep -q cgroup_enable=memory "${cmdline}"; then
	sed -i '1s/$/ cgroup_enable=memory/' "${cmdline}"
fi
