//! SASL (RFC 6120 §6): ANONYMOUS (RFC 4505), PLAIN (RFC 4616), SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, RFC 7677). The
//! strongest that the server offers and our identity can do is taken. PLAIN is used under TLS, or where the site says
//! that its stream needs none.
//!
//! Channel binding is not used (Prosody's TLS and ours would have to agree on the exporter; the certificate is verified).

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::failure::{Failure, short};
use crate::base::rng::Rng;
use crate::leg::backend::StreamIdentity;

/// Rounds of PBKDF2 we do for a server. Prosody asks for 10,000: 4 ms.
const ROUNDS_MAX: u32 = 200_000;

/// Ways to authenticate, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    ScramSha256,
    ScramSha1,
    Plain,
    Anonymous,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::Plain => "PLAIN",
            Self::Anonymous => "ANONYMOUS",
        }
    }

    fn suit(identity: &StreamIdentity) -> &'static [Mechanism] {
        match identity {
            StreamIdentity::Anonymous => &[Self::Anonymous],
            StreamIdentity::Password { .. } => &[Self::ScramSha256, Self::ScramSha1, Self::Plain],
        }
    }
}

/// One authentication under way.
pub struct Exchange {
    mechanism: Mechanism,
    scram: Option<Scram>,
}

struct Scram {
    password: String,
    first_bare: String,
    nonce: String,
    /// What the server must say to prove that it knows the password.
    proof_wanted: Option<Vec<u8>>,
    proven: bool,
}

/// The first thing to say.
pub struct Initial {
    /// `mechanism` of `<auth>`.
    pub mechanism: &'static str,
    /// Its text (base64, `=` for empty).
    pub text: String,
}

impl Exchange {
    /// Chooses a mechanism and begins.
    pub fn start(
        identity: &StreamIdentity,
        offered: &[String],
        rng: &mut Rng,
    ) -> Result<(Self, Initial), Failure> {
        let suiting = Mechanism::suit(identity);
        let offers = |mechanism: &&Mechanism| offered.iter().any(|it| it == mechanism.name());
        let Some(mechanism) = suiting.iter().find(offers).copied() else {
            let wanted = match identity {
                StreamIdentity::Anonymous => "ANONYMOUS",
                StreamIdentity::Password { .. } => "SCRAM-SHA-256, SCRAM-SHA-1 or PLAIN",
            };
            return Err(Failure::MechanismMissing { offered: short(&offered.join(" ")), wanted });
        };
        let (text, scram) = match (identity, mechanism) {
            (StreamIdentity::Password { user, password }, Mechanism::Plain) => {
                (format!("\0{}\0{}", user.reveal(), password.reveal()), None)
            }
            (StreamIdentity::Password { user, password }, _) => {
                let scram = Scram::new(user.reveal(), password.reveal(), rng);
                (format!("n,,{}", scram.first_bare), Some(scram))
            }
            (StreamIdentity::Anonymous, _) => (String::new(), None),
        };
        let text = match text.is_empty() {
            true => "=".to_owned(),
            false => BASE64.encode(text),
        };
        Ok((Self { mechanism, scram }, Initial { mechanism: mechanism.name(), text }))
    }

    /// Answers a `<challenge>`.
    pub fn challenge(&mut self, text: &str) -> Result<String, Failure> {
        let scram = self.scram.as_mut().ok_or(Failure::NotXmpp("a challenge out of place"))?;
        let message = decoded(text)?;
        if scram.proof_wanted.is_none() {
            return Ok(BASE64.encode(scram.answer(&message, self.mechanism)?));
        }
        // Some servers put their proof into a challenge and say success after it.
        scram.verify(&message)?;
        Ok(String::new())
    }

    /// Judges a `<success>`.
    pub fn success(&mut self, text: &str) -> Result<(), Failure> {
        let Some(scram) = &mut self.scram else { return Ok(()) };
        if !text.is_empty() && text != "=" {
            scram.verify(&decoded(text)?)?;
        }
        if scram.proven { Ok(()) } else { Err(Failure::ServerUnproven) }
    }
}

fn decoded(text: &str) -> Result<String, Failure> {
    let bytes = BASE64.decode(text.trim()).map_err(|_| Failure::NotXmpp("SASL is not base64"))?;
    String::from_utf8(bytes).map_err(|_| Failure::NotXmpp("SASL is not UTF-8"))
}

impl Scram {
    fn new(user: &str, password: &str, rng: &mut Rng) -> Self {
        let nonce = rng.token(24);
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self {
            password: password.to_owned(),
            first_bare: format!("n={user},r={nonce}"),
            nonce,
            proof_wanted: None,
            proven: false,
        }
    }

    /// RFC 5802 §3: proof of the password, made from the server's first message.
    fn answer(&mut self, server_first: &str, mechanism: Mechanism) -> Result<String, Failure> {
        const WRONG: Failure = Failure::NotXmpp("SCRAM's first message is malformed");
        let part = |name: &str| {
            server_first.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let (Some(nonce), Some(salt), Some(rounds)) = (part("r"), part("s"), part("i")) else {
            return Err(WRONG);
        };
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(Failure::ServerUnproven);
        }
        let salt = BASE64.decode(salt).map_err(|_| WRONG)?;
        let rounds = rounds.parse().ok().filter(|rounds| *rounds <= ROUNDS_MAX);
        let rounds = rounds.and_then(NonZeroU32::new).ok_or(WRONG)?;
        let (derive, mac, hash) = match mechanism {
            Mechanism::ScramSha256 => {
                (pbkdf2::PBKDF2_HMAC_SHA256, hmac::HMAC_SHA256, &digest::SHA256)
            }
            _ => (
                pbkdf2::PBKDF2_HMAC_SHA1,
                hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
            ),
        };
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(mac, key), text);
        let mut salted = vec![0; hash.output_len()];
        pbkdf2::derive(derive, rounds, &salt, self.password.as_bytes(), &mut salted);
        let final_bare = format!("c=biws,r={nonce}");
        let message = format!("{},{server_first},{final_bare}", self.first_bare);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(hash, client_key.as_ref());
        let signature = sign(stored_key.as_ref(), message.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server_key = sign(&salted, b"Server Key");
        let wanted = sign(server_key.as_ref(), message.as_bytes());
        self.proof_wanted = Some(wanted.as_ref().to_vec());
        Ok(format!("{final_bare},p={}", BASE64.encode(proof)))
    }

    fn verify(&mut self, server_final: &str) -> Result<(), Failure> {
        let given = server_final.split(',').find_map(|part| part.strip_prefix("v="));
        let given = given.and_then(|text| BASE64.decode(text).ok());
        match (&self.proof_wanted, given) {
            (Some(wanted), Some(given))
                if aws_lc_rs::constant_time::verify_slices_are_equal(wanted, &given).is_ok() =>
            {
                self.proven = true;
                Ok(())
            }
            _ => Err(Failure::ServerUnproven),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::pii::Pii;

    fn account(user: &str, password: &str) -> StreamIdentity {
        StreamIdentity::Password {
            user: Pii::new(user.to_owned()),
            password: Pii::new(password.to_owned()),
        }
    }

    fn offered(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn scram(nonce: &str) -> Scram {
        Scram {
            password: "pencil".into(),
            first_bare: format!("n=user,r={nonce}"),
            nonce: nonce.into(),
            proof_wanted: None,
            proven: false,
        }
    }

    #[test]
    fn scram_sha_1_as_in_rfc_5802() {
        let mut scram = scram("fyko+d2lbbFgONRv9qkxdawL");
        let first = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
        assert_eq!(
            scram.answer(first, Mechanism::ScramSha1).expect("good"),
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
        );
        assert_eq!(scram.verify("v=AAAA9pqV8S7suAoZWja4dJRkFsKQ="), Err(Failure::ServerUnproven));
        scram.verify("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=").expect("the server knows it");
    }

    #[test]
    fn scram_sha_256_as_in_rfc_7677() {
        let mut scram = scram("rOprNGfwEbeRWgbNEkqO");
        let first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(
            scram.answer(first, Mechanism::ScramSha256).expect("good"),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        scram.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").expect("it knows");
    }

    #[test]
    fn the_strongest_offered_way_is_taken() {
        let mut rng = Rng::from_number(1);
        let all = offered(&["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "ANONYMOUS"]);
        let (_, initial) = Exchange::start(&account("a", "b"), &all, &mut rng).expect("offered");
        assert_eq!(initial.mechanism, "SCRAM-SHA-256");
        let plain = offered(&["PLAIN", "X-OAUTH2"]);
        let (_, initial) = Exchange::start(&account("a", "b"), &plain, &mut rng).expect("offered");
        assert_eq!(BASE64.decode(initial.text).expect("base64"), b"\0a\0b");
        let (_, initial) =
            Exchange::start(&StreamIdentity::Anonymous, &all, &mut rng).expect("offered");
        assert_eq!((initial.mechanism, initial.text.as_str()), ("ANONYMOUS", "="));
        let missing = Exchange::start(&StreamIdentity::Anonymous, &plain, &mut rng).err();
        assert!(matches!(missing, Some(Failure::MechanismMissing { .. })));
    }

    #[test]
    fn a_server_that_lies_during_scram_is_found_out() {
        let mut rng = Rng::from_number(1);
        let ways = offered(&["SCRAM-SHA-1"]);
        let start = |rng: &mut Rng| {
            let (exchange, initial) =
                Exchange::start(&account("a=,b", "c"), &ways, rng).expect("offered");
            let first = String::from_utf8(BASE64.decode(initial.text).expect("base64"));
            let first = first.expect("text");
            assert!(first.starts_with("n,,n=a=3D=2Cb,r="), "{first}");
            (exchange, first.rsplit_once("r=").expect("a nonce").1.to_owned())
        };
        let (mut exchange, nonce) = start(&mut rng);
        // A success without any proof.
        assert_eq!(exchange.success(""), Err(Failure::ServerUnproven));
        for wrong in [
            "r=other,s=AAAA,i=4096".to_owned(),
            format!("r={nonce},s=AAAA,i=4096"),
            format!("r={nonce}x,s=AAAA,i=0"),
            format!("r={nonce}x,s=AAAA,i=4000000000"),
            format!("r={nonce}x,i=1"),
            String::new(),
        ] {
            let (mut exchange, _) = start(&mut Rng::from_number(1));
            assert!(exchange.challenge(&BASE64.encode(&wrong)).is_err(), "{wrong}");
        }
        assert!(exchange.challenge("%%%").is_err());
    }
}
