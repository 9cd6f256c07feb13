/* What `charter-daemon --help` prints: the flags and commands of this build. */
#include "base/log.h"
#include "daemon/options.h"

#define TEXT_OF(number) #number
#define AS_TEXT(number) TEXT_OF(number)
#define JOURNAL_KIB AS_TEXT(CONFIG_JOURNAL_KIB)

#ifdef CONFIG_LINK
#define LINK_USAGE " [--gateway URL]... [--token-file FILE]"
#define LINK_FLAGS                                                                                                       \
    "  --gateway URL       http://, https://, ws:// or wss:// address of the gateway (CHARTER_GATEWAY; default:\n"       \
    "                      charter.yml's); several are doors to one gateway. Without one the daemon works locally and\n" \
    "                      keeps events.\n"                                                                              \
    "  --token-file FILE   file with the bearer token for the gateway (CHARTER_TOKEN_FILE)\n"
#define RECONNECT_USAGE " [--reconnect-ms A,B]"
#define RECONNECT_FLAGS                                                                                                      \
    "  --reconnect-ms A,B  how long to wait before the gateway is dialled again: at random below A milliseconds after the\n" \
    "                      first failure, below twice that after the next, never above B (CHARTER_RECONNECT_MS; default:\n"  \
    "                      1000,300000)\n"
#else
#define LINK_USAGE ""
#define LINK_FLAGS ""
#define RECONNECT_USAGE ""
#define RECONNECT_FLAGS ""
#endif

#ifdef CONFIG_PROXY
#define PROXY_USAGE " [--proxy URL|none]"
#define PROXY_FLAGS                                                                                                            \
    "  --proxy URL|none    http://HOST:PORT of a proxy that leads to the gateway (CHARTER_PROXY; default: what https_proxy,\n" \
    "                      or http_proxy for http:// gateways, says); no_proxy names hosts that are reached without it\n"      \
    "  --proxy-credentials-file FILE\n"                                                                                        \
    "                      USER:PASSWORD for the proxy (CHARTER_PROXY_CREDENTIALS_FILE)\n"
#else
#define PROXY_USAGE ""
#define PROXY_FLAGS ""
#endif

#ifdef CONFIG_TLS
#define TLS_USAGE " [--tls-FLAG VALUE]..."
#ifdef CONFIG_TLS_CA
#define TLS_CA_FLAGS                                                                                                         \
    "  --tls-ca FILE|DIR   certificates of the CAs that may vouch for the gateway (CHARTER_TLS_CA; default: the system's,\n" \
    "                      or what SSL_CERT_FILE or SSL_CERT_DIR name)\n"
#define TLS_PIN_WORDS                                                                              \
    "                      \";\" between several). Without --tls-ca and --tls-crl a pin replaces the CA.\n"
#else
#define TLS_CA_FLAGS ""
#define TLS_PIN_WORDS                                                                              \
    "                      \";\" between several). Secure gateways need one: this build knows no CAs.\n"
#endif
#ifdef CONFIG_TLS_CLIENT_CERT
#define TLS_CERT_FLAGS                                                                                          \
    "  --tls-cert FILE, --tls-key FILE\n"                                                                       \
    "                      the daemon's own certificate, with what stands between it and its CA, and its key\n" \
    "                      (CHARTER_TLS_CERT, CHARTER_TLS_KEY)\n"
#else
#define TLS_CERT_FLAGS ""
#endif
#ifdef CONFIG_TLS_CRL
#define TLS_CRL_FLAGS                                                                              \
    "  --tls-crl FILE      lists of revoked certificates (CHARTER_TLS_CRL); the issuer of the gateway's must be among them\n"
#else
#define TLS_CRL_FLAGS ""
#endif
#ifdef CONFIG_TLS_1_2
#define TLS_MIN_FLAGS                                                                              \
    "  --tls-min V         lowest version of TLS, 1.2 or 1.3 (CHARTER_TLS_MIN; default: 1.2)\n"
#else
#define TLS_MIN_FLAGS ""
#endif
#define TLS_FLAGS                                                                                                                        \
    TLS_CA_FLAGS                                                                                                                         \
    "  --tls-pin P         sha256//BASE64 of the gateway's public key; one of several must match (CHARTER_TLS_PIN, with\n" TLS_PIN_WORDS \
        TLS_CERT_FLAGS TLS_CRL_FLAGS TLS_MIN_FLAGS                                                                                       \
    "                      Names and dates of certificates are always checked. All these files are read anew for each\n"                 \
    "                      connection.\n"
#else
#define TLS_USAGE ""
#define TLS_FLAGS ""
#endif

#ifdef CONFIG_SALVAGE
#define SALVAGE_USAGE " [--salvage]"
#define SALVAGE_FLAGS                                                                              \
    "  --salvage           where the journal is damaged, keep a copy of it and go on with what can be read\n"
#else
#define SALVAGE_USAGE ""
#define SALVAGE_FLAGS ""
#endif

#ifdef CONFIG_CHECK
#define CHECK_USAGE                                                                                \
    "  charter-daemon check [--project-path DIR]    checks charter.yml and all workflows\n"
#else
#define CHECK_USAGE ""
#endif

#ifdef CONFIG_JOURNAL_CHAIN
#define VERIFY_USAGE                                                                                                     \
    "  charter-daemon verify [--project-path DIR] [--head SEQ:SHA256] [--json]\n"                                        \
    "                                               checks the journal's chain of hashes, and whether a head that the\n" \
    "                                               gateway keeps is in it\n"
#define VERIFY_CODES "; verify: 0 the chain holds, 1 it does not, or the head is not in it"
#else
#define VERIFY_USAGE ""
#define VERIFY_CODES ""
#endif

#ifdef CONFIG_LIMITS
#define LIMITS_USAGE                                                                               \
    "  charter-daemon limits                        prints what memory is reserved for what\n"
#else
#define LIMITS_USAGE ""
#endif

const char options_help[] =
    "charter-daemon: runs Charter workflows of one project\n"
    "\n"
    "  charter-daemon start [--project-path DIR]" LINK_USAGE " [--background]\n"
    "                      " PROXY_USAGE TLS_USAGE RECONNECT_USAGE
    " [--journal-kib N]" SALVAGE_USAGE "\n"
    "                       [--log-level " LOG_LEVELS
    "] [--log-format text|json]\n" CHECK_USAGE VERIFY_USAGE LIMITS_USAGE
    "  charter-daemon --version | --help\n"
    "\n"
    "  --project-path DIR  the project (CHARTER_PROJECT_PATH; default: the current directory)\n" LINK_FLAGS
        PROXY_FLAGS RECONNECT_FLAGS TLS_FLAGS
    "  --journal-kib N     disk space for the journal, from 2048 to 1048576 KiB (CHARTER_JOURNAL_KIB; default: " JOURNAL_KIB
    ")\n" SALVAGE_FLAGS "  --background        detach from the terminal when ready\n"
    "  --log-level L       what is logged on stderr (CHARTER_LOG_LEVEL; default: " LOG_DEFAULT_NAME
    ")\n"
    "  --log-format F      text or json, a line each (CHARTER_LOG_FORMAT; default: text)\n"
    "\n"
    "Signals: TERM and INT stop in order (running steps get their grace time), a second one at once; HUP reads\n"
    "charter.yml and the token file again.\n"
    "Exit codes: 0 stopped, 2 usage, 3 project invalid, 4 already running, 5 state damaged (do not restart),\n"
    "6 storage failed (restart may help)" VERIFY_CODES ".\n";
