SUMMARY = "Runs workflows on a machine and tells a gateway about them"
DESCRIPTION = "A workflow is a list of steps; a step is a program that reads and writes lines of JSON. \
The daemon keeps everything that happened in a journal, goes on where it was after a crash, and dials \
out to its gateway."
SECTION = "utils"
LICENSE = "MIT & Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=f760c23b4df73a824e2cc35be192e2f9"

# kconfig-conf; the gateway brings its own dependency below.
DEPENDS = "kconfig-frontends-native bzip2-native"

# The project's own repository, by default the one that this layer is in. What it is built with is
# downloaded by BitBake, under the names and with the hashes of port/deps/lock; the project's own build
# finds it there and fetches nothing.
CHARTER_REPOSITORY ?= "git://${CHARTER_TREE};protocol=file"
CHARTER_BRANCH ?= "main"
SRCREV ?= "${AUTOREV}"
UNPACKDIR ??= "${WORKDIR}"
SRC_URI = "${CHARTER_REPOSITORY};branch=${CHARTER_BRANCH};destsuffix=charter-daemon \
    https://github.com/Mbed-TLS/mbedtls/releases/download/mbedtls-3.6.7/mbedtls-3.6.7.tar.bz2;name=mbedtls;subdir=archives;unpack=0 \
    https://github.com/tatsuhiro-t/wslay/archive/refs/tags/release-1.1.1.tar.gz;name=wslay;downloadfilename=wslay-1.1.1.tar.gz;subdir=archives;unpack=0 \
    https://github.com/zserge/jsmn/archive/refs/tags/v1.1.0.tar.gz;name=jsmn;downloadfilename=jsmn-1.1.0.tar.gz;subdir=archives;unpack=0 \
    https://github.com/yaml/libyaml/archive/refs/tags/0.2.5.tar.gz;name=libyaml;downloadfilename=libyaml-0.2.5.tar.gz;subdir=archives;unpack=0 \
"
SRC_URI[mbedtls.sha256sum] = "a7e8bcbec0e6f761b4af24f25677626b35f762f68eef79c08677a363212d11f6"
SRC_URI[wslay.sha256sum] = "7b9f4b9df09adaa6e07ec309b68ab376c0db2cfd916613023b52a47adfda224a"
SRC_URI[jsmn.sha256sum] = "5f0913a10657fe7ec8d5794ccf00a01000e3e1f2f1e1f143c34a0f7b47edcb38"
SRC_URI[libyaml.sha256sum] = "fa240dbf262be053f3898006d502d514936c818e422afdcf33921c63bed9bf2e"
S = "${UNPACKDIR}/charter-daemon"
B = "${WORKDIR}/build"

inherit pkgconfig systemd useradd bash-completion

# The features of Kconfig, by their names in lower case; all that are on there, but the gateway.
require charter-daemon-features.inc
PACKAGECONFIG[gateway] = ",,sqlite3"

# Sizes, one line each: CHARTER_CONFIG = "CONFIG_RUNS_IN_FLIGHT=4 CONFIG_JOURNAL_KIB=2048"
CHARTER_CONFIG ?= ""

EXTRA_OEMAKE = "V=1 B=${B} KCONF=kconfig-conf DEPS_CACHE=${UNPACKDIR}/archives DEPS_OFFLINE=1 HARDEN= \
    'CC=${CC}' 'AR=${AR}' 'NM=${NM}' STRIP=: 'CFLAGS=${CFLAGS}' 'CPPFLAGS=${CPPFLAGS}' 'LDFLAGS=${LDFLAGS}' \
    PREFIX=${prefix} libdir=${libdir} mandir=${mandir}"

do_configure() {
    mkdir -p ${B}
    rm -f ${B}/.config
    for feature in ${CHARTER_FEATURES}; do
        symbol=$(echo $feature | tr 'a-z-' 'A-Z_')
        case " ${PACKAGECONFIG} " in
        *" $feature "*) echo "CONFIG_$symbol=y" ;;
        *) echo "# CONFIG_$symbol is not set" ;;
        esac
    done >${B}/.config
    for line in ${CHARTER_CONFIG}; do
        echo $line
    done >>${B}/.config
}

do_compile() {
    oe_runmake -C ${S} all
}

do_install() {
    oe_runmake -C ${S} DESTDIR=${D} install
    install -d ${D}${localstatedir}/lib/charter ${D}${systemd_system_unitdir}
    install -m 0644 ${S}/port/systemd/charter-daemon@.service ${D}${systemd_system_unitdir}/
    if [ -x ${D}${bindir}/charter-gateway ]; then
        install -m 0644 ${S}/port/systemd/charter-gateway.service ${D}${systemd_system_unitdir}/
    fi
}

PACKAGES =+ "charter ${PN}-gateway"
FILES:${PN} += "${systemd_system_unitdir}/charter-daemon@.service ${localstatedir}/lib/charter"
FILES:charter = "${bindir}/charter ${datadir}/zsh/site-functions/_charter"
FILES:${PN}-gateway = "${bindir}/charter-gateway ${systemd_system_unitdir}/charter-gateway.service"
RRECOMMENDS:${PN} = "charter ca-certificates"
ALLOW_EMPTY:charter = "1"
ALLOW_EMPTY:${PN}-gateway = "1"

# Projects are enabled by name on the device: systemctl enable --now charter-daemon@NAME
SYSTEMD_PACKAGES = "${PN}"
SYSTEMD_SERVICE:${PN} = "charter-daemon@.service"
SYSTEMD_AUTO_ENABLE:${PN} = "disable"

USERADD_PACKAGES = "${PN} ${PN}-gateway"
USERADD_PARAM:${PN} = "--system --user-group --home-dir ${localstatedir}/lib/charter --no-create-home --shell /sbin/nologin _charter"
USERADD_PARAM:${PN}-gateway = "--system --user-group --home-dir ${localstatedir}/lib/charter-gateway --no-create-home --shell /sbin/nologin _charter-gateway"
