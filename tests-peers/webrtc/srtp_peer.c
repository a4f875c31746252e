/*
 * libsrtp behind a pipe: what `tests/srtp.rs` compares our SRTP with.
 *
 *   srtp_peer PROFILE KEY_AND_SALT_HEX
 *
 * PROFILE: cm80, cm32, gcm128, gcm256. Each line of standard input is a verb and a packet in hexadecimal; each line of standard
 * output is the packet that came of it, or `error N` with libsrtp's number. Verbs: pr, ur (protect, unprotect RTP), pc, uc (RTCP).
 * Packets of one run belong to one session per direction, with libsrtp's own replay windows and rollover counters.
 */
#include <srtp2/srtp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PACKET_MAX = 2048, LINE_MAX_BYTES = 2 * PACKET_MAX + 8 };

static int parse_hex(const char *text, unsigned char *bytes, int room)
{
    int length = 0;
    unsigned int byte;
    while (length < room && sscanf(text + 2 * length, "%2x", &byte) == 1)
        bytes[length++] = (unsigned char)byte;
    return length;
}

static void set_profile(srtp_policy_t *policy, const char *profile)
{
    if (!strcmp(profile, "cm80")) {
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy->rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy->rtcp);
    } else if (!strcmp(profile, "cm32")) {
        /* RFC 4568 6.2.2: the short tag is for RTP alone. */
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(&policy->rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy->rtcp);
    } else if (!strcmp(profile, "gcm128")) {
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy->rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy->rtcp);
    } else if (!strcmp(profile, "gcm256")) {
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy->rtp);
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy->rtcp);
    } else {
        fprintf(stderr, "unknown profile %s\n", profile);
        exit(64);
    }
}

static srtp_t session(const char *profile, unsigned char *key, srtp_ssrc_type_t direction)
{
    srtp_policy_t policy;
    srtp_t made;
    memset(&policy, 0, sizeof policy);
    set_profile(&policy, profile);
    policy.ssrc.type = direction;
    policy.key = key;
    policy.window_size = 128;
    if (srtp_create(&made, &policy) != srtp_err_status_ok) {
        fprintf(stderr, "libsrtp makes no session for %s\n", profile);
        exit(65);
    }
    return made;
}

int main(int count, char **words)
{
    static char line[LINE_MAX_BYTES];
    unsigned char key[64] = { 0 };
    srtp_t outward, inward;
    if (count != 3 || srtp_init() != srtp_err_status_ok)
        return 64;
    parse_hex(words[2], key, sizeof key);
    outward = session(words[1], key, ssrc_any_outbound);
    inward = session(words[1], key, ssrc_any_inbound);
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin)) {
        /* Aligned as libsrtp wants its headers. */
        static unsigned char packet[PACKET_MAX + SRTP_MAX_TRAILER_LEN + 4] __attribute__((aligned(8)));
        srtp_err_status_t status = srtp_err_status_bad_param;
        int length = parse_hex(line + 3, packet, PACKET_MAX);
        if (!strncmp(line, "pr ", 3))
            status = srtp_protect(outward, packet, &length);
        else if (!strncmp(line, "ur ", 3))
            status = srtp_unprotect(inward, packet, &length);
        else if (!strncmp(line, "pc ", 3))
            status = srtp_protect_rtcp(outward, packet, &length);
        else if (!strncmp(line, "uc ", 3))
            status = srtp_unprotect_rtcp(inward, packet, &length);
        if (status != srtp_err_status_ok) {
            printf("error %d\n", (int)status);
            continue;
        }
        for (int place = 0; place < length; place++)
            printf("%02x", packet[place]);
        printf("\n");
    }
    return 0;
}
