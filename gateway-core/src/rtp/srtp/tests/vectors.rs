//! RFC 3711 B.2 and B.3, RFC 7714 §16 and §17, and packets made by libsrtp.

use aes::Aes128;
use aes::cipher::KeyInit;

use super::super::cipher::Keys;
use super::super::derive::{Label, add_keystream, derive};
use super::*;

fn hex(text: &str) -> Vec<u8> {
    let text: String = text.split_whitespace().collect();
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}

#[test]
fn rfc_3711_b_2_keystream() {
    let cipher = Aes128::new_from_slice(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
    let start: [u8; 16] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().unwrap();
    let mut stream = vec![0; 0xff03 * 16];
    add_keystream(&cipher, start, &mut stream);
    for (block, expected) in [
        (0, "E03EAD0935C95E80E166B16DD92B4EB4"),
        (1, "D23513162B02D0F72A43A2FE4A5F97AB"),
        (2, "41E95B3BB0A2E8DD477901E4FCA894C0"),
        (0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
        (0xff00, "362B7C3C6773516318A077D7FC5073AE"),
        (0xff01, "6A2CC3787889374FBEB4C81B17BA6C44"),
    ] {
        assert_eq!(stream[block * 16..][..16], hex(expected), "block {block:x}");
    }
}

#[test]
fn rfc_3711_b_3_key_derivation() {
    let (key, salt) =
        (hex("E1F97A0D3E018BE0D64FA32C06DE4139"), hex("0EC675AD498AFEEBB6960B3AABE6"));
    for (label, expected) in [
        (Label::RtpKey, "C61E7A93744F39EE10734AFE3FF7A087"),
        (Label::RtpSalt, "30CBBC08863D8C85D49DB34A9AE1"),
        (Label::RtpAuth, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"),
    ] {
        let expected = hex(expected);
        let mut out = vec![0; expected.len()];
        derive(&key, &salt, label, &mut out).unwrap();
        assert_eq!(out, expected, "{label:?}");
    }
}

const RTP_7714: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
    69736120 696e2070 61727465 73207472 6573";
const RTCP_7714: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
    deadbeef deadbeef deadbeef deadbeef deadbeef";

fn keys_7714(profile: SrtpProfile) -> Keys {
    let key: Vec<u8> = (0..profile.key_bytes() as u8).collect();
    let salt = hex("517569642070726f2071756f").try_into().unwrap();
    Keys::of_session(profile, &key, salt)
}

#[test]
fn rfc_7714_16_rtp() {
    for (profile, expected) in [
        (
            SrtpProfile::AeadAes128Gcm,
            "f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b
             36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        ),
        (
            SrtpProfile::AeadAes256Gcm,
            "32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f
             1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        ),
    ] {
        let plain = hex(RTP_7714);
        let mut sender = SrtpSender::of_keys(keys_7714(profile));
        let wire = protect(&mut sender, &plain).unwrap();
        assert_eq!(wire[12..], hex(expected), "{profile:?}");
        let mut receiver = SrtpReceiver::of_keys(keys_7714(profile));
        assert_eq!(unprotect(&mut receiver, &wire).as_deref(), Ok(&plain[..]));
    }
}

#[test]
fn rfc_7714_17_rtcp() {
    let profile = SrtpProfile::AeadAes128Gcm;
    let plain = hex(RTCP_7714);
    let mut sender = SrtpSender::of_keys(keys_7714(profile));
    sender.begin_at(0x4d61_7273, None, 0x5d4);
    let wire = protect_rtcp(&mut sender, &plain).unwrap();
    let expected = hex("81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d
        c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade
        800005d4");
    assert_eq!(wire, expected);
    let mut receiver = SrtpReceiver::of_keys(keys_7714(profile));
    let mut buffer = wire;
    let length = receiver.unprotect_rtcp(&mut buffer).unwrap();
    assert_eq!(buffer[..length], plain);
}

/// Two RTP packets over a wrap (one with an extension) and two reports, protected by libsrtp (pylibsrtp 1.0.0) under
/// the master key 3, 10, 17 ... and byte for byte the same from us.
#[test]
fn libsrtp_makes_the_same_packets() {
    let mut first = hex("90e4ffff00112233cafebabebede000110a50000");
    first.extend(b"speech of a phone, forty bytes of it, ok?");
    let mut second = hex("8064000000112f00cafebabe");
    second.extend(b"after the wrap");
    let report = hex("80c80006cafebabe0102030405060708001122330000000500000100");
    for (profile, wires) in LIBSRTP {
        let secret: Vec<u8> = (0..46_u32).map(|place| (7 * place + 3) as u8).collect();
        let (key, rest) = secret.split_at(profile.key_bytes());
        let salt = &rest[..profile.salt_bytes()];
        let mut sender = SrtpSender::new(profile, key, salt).unwrap();
        assert_eq!(protect(&mut sender, &first).unwrap(), hex(wires[0]), "{profile:?}");
        assert_eq!(protect(&mut sender, &second).unwrap(), hex(wires[1]), "{profile:?}");
        // libsrtp numbers its reports from 1.
        let mut sender = SrtpSender::new(profile, key, salt).unwrap();
        sender.begin_at(SSRC, None, 1);
        let mut receiver = SrtpReceiver::new(profile, key, salt).unwrap();
        for wire in &wires[2..] {
            assert_eq!(protect_rtcp(&mut sender, &report).unwrap(), hex(wire), "{profile:?}");
            let mut buffer = hex(wire);
            let length = receiver.unprotect_rtcp(&mut buffer).unwrap();
            assert_eq!(buffer[..length], report, "{profile:?}");
        }
        assert_eq!(unprotect(&mut receiver, &hex(wires[0])).as_deref(), Ok(&first[..]));
        assert_eq!(unprotect(&mut receiver, &hex(wires[1])).as_deref(), Ok(&second[..]));
    }
}

const LIBSRTP: [(SrtpProfile, [&str; 4]); 4] = [
    (
        SrtpProfile::AesCm128Sha1_80,
        [
            "90e4ffff00112233cafebabebede000110a500003e23e5cd7fefcc8370705fe538111530
             647fb201a6b09eab29d22d797416650c7cb9b4681037a6fd80a801e4beb463ba6971aa",
            "8064000000112f00cafebabe89a8d4ddce9b6212741454c7044931b27b041a951a894c85",
            "80c80006cafebabe36495c798975b3cfe54f9bc3f57e5aa2423256d88000000142000fde
             df27c5c92a3a",
            "80c80006cafebabe83569e33109aaac4a4d1e6fac109fb1dbfa2215b80000002bd012ba6
             cf04ae6ae33e",
        ],
    ),
    (
        SrtpProfile::AesCm128Sha1_32,
        [
            "90e4ffff00112233cafebabebede000110a500003e23e5cd7fefcc8370705fe538111530
             647fb201a6b09eab29d22d797416650c7cb9b4681037a6fd80a801e4be",
            "8064000000112f00cafebabe89a8d4ddce9b6212741454c7044931b27b04",
            "80c80006cafebabe36495c798975b3cfe54f9bc3f57e5aa2423256d88000000142000fde
             df27c5c92a3a",
            "80c80006cafebabe83569e33109aaac4a4d1e6fac109fb1dbfa2215b80000002bd012ba6
             cf04ae6ae33e",
        ],
    ),
    (
        SrtpProfile::AeadAes128Gcm,
        [
            "90e4ffff00112233cafebabebede000110a50000f034eb20a28f60fb37cc5a07654a38f9
             814559ff61dc34810348321f0d9c8587f273ba0304154cadc7dcae464debfdc2af1a7132
             072091b1b1",
            "8064000000112f00cafebabe29518611ae62c7b622723a43d3133da0b64a11a719751545
             14e811dc994b",
            "80c80006cafebabee47a8650785310d5f6008974f31affeb5d7b4a9f09756df5b083919a
             282aa3b61bc31ee880000001",
            "80c80006cafebabe0a3096fb8bb979fca67f4f1d7667d9a2106cc9ccc9ef23f08d13a12f
             14557e500cdf38fb80000002",
        ],
    ),
    (
        SrtpProfile::AeadAes256Gcm,
        [
            "90e4ffff00112233cafebabebede000110a50000d30aeb488f653a49278ef424ffc4bc60
             fc0fb2068d9e13a67ef3733a78d9191fb6c9a5303255129c500e2fe3f132b1787a66ee1f
             a169676942",
            "8064000000112f00cafebabef986114b290bf8a166c6605d769dd2f44bd2a5be4f5e6f46
             99b6d7a36970",
            "80c80006cafebabe0572412114cf2e875d588cefbe75e358bdb6b55d2e0a76520e4b7ada
             bfe799ac2822eaf580000001",
            "80c80006cafebabe8d2cfcb5dca71f072788a42a4277d14e75f0b64a34d3d616ed319eab
             d32178c26fae540380000002",
        ],
    ),
];
