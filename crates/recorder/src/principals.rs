//! Local key principals: registering and retiring keys, each by a logged event.

use evidence::Kind;
use evidence::jws::Jwk;
use evidence::principal::{Principal, PrincipalKind};
use identity::RegistrationError;
use serde_json::{Value, json};

use crate::draft::{Draft, Fields, Guard, Place};
use crate::permit::Reason;
use crate::refusals::Malformed;
use crate::sequencing::Reply;
use crate::{Peer, Recorder, RecorderError};

/// A key to be registered.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Human or service.
    pub kind: PrincipalKind,
    /// Its name at this issuer.
    pub sub: String,
    /// The public JWK.
    pub key: Value,
    /// `deeds-key-proof+jwt`: the key is held.
    pub proof: String,
    /// Erasable names for people to read.
    pub display: Option<Value>,
}

impl Registration {
    fn check(&self, issuer: &str, now_s: u64) -> Result<(Principal, Jwk), RegistrationError> {
        identity::registration(issuer, self.kind, &self.sub, &self.key, &self.proof, now_s)
    }
}

impl Recorder {
    /// Registers the key of a person or service, once its holder has proved to have it.
    ///
    /// Who registers is known as the uid of the peer, so the entry says `inferred`: a later answer can be no surer of
    /// the person than this step was.
    pub async fn register_principal(
        &self,
        registration: &Registration,
        peer: Peer,
    ) -> Result<(Principal, u64), RecorderError> {
        let names = self.names();
        let now_s = self.0.clock.wall_ms() / 1_000;
        let (principal, jwk) = match registration.check(&names.issuer, now_s) {
            Ok(registered) => registered,
            Err(error) => {
                let refused = RecorderError::Invalid(error.to_string());
                self.refuse_malformed(&Malformed {
                    source: format!("uid:{}", peer.uid),
                    reason: Reason::new("registration-refused", "key-proof", &refused.to_string()),
                    digest: evidence::Digest::of(registration.proof.as_bytes()).to_string(),
                })
                .await?;
                return Err(refused);
            }
        };
        if let Some(key) = self.known_key(&jwk.thumbprint(), &principal)? {
            return Ok((principal, key));
        }
        let fields = Fields::new()
            .text("change", "principal-registered")
            .json("principal", &json!(principal))
            .json("key", &jwk.to_json())
            .text("thumbprint", &jwk.thumbprint())
            .maybe("display", registration.display.as_ref())
            .json("by", &json!(identity::peer_principal(&names.issuer, peer.uid)))
            .text("assurance", "inferred");
        let item = self.0.sealer.item(Kind::KeyOrTrustChanged, Place::LOG, fields)?;
        // of two at once the second finds the key there and is told so
        let guard = Guard::NewKey { thumbprint: jwk.thumbprint() };
        match self.append(Draft::one(guard, item)).await? {
            Reply::Written(written) => Ok((principal, written.first)),
            Reply::Stale => Err(RecorderError::KeyTaken(
                "this key was registered just now: see `deeds principal list`".into(),
            )),
            _ => Err(RecorderError::LogUnavailable),
        }
    }

    /// Where the key is registered for this principal already. A key stands for one principal, once: under another
    /// name, or after it was retired, it would make old answers say something new.
    fn known_key(&self, thumbprint: &str, principal: &Principal) -> Result<Option<u64>, RecorderError> {
        let control = self.control();
        let other = control.keys.values().find(|key| key.retired.is_none() && key.principal.same(principal));
        let Some(known) = control.keys.get(thumbprint) else {
            // a second key for a name would let whoever registers it speak as that principal
            let Some(other) = other else { return Ok(None) };
            let text =
                format!("{} has a key in force since @{}: retire that one first", principal.sub, other.index);
            return Err(RecorderError::KeyTaken(text));
        };
        if let Some(retired) = known.retired {
            let text = format!("this key was retired at @{retired}: register a new one with --key FILE");
            return Err(RecorderError::KeyTaken(text));
        }
        if !known.principal.same(principal) || known.principal.kind != principal.kind {
            let text = format!(
                "this key stands for {} since @{}: a key stands for one principal, make another with --key FILE",
                known.principal.sub, known.index
            );
            return Err(RecorderError::KeyTaken(text));
        }
        Ok(Some(known.index))
    }

    /// Retires a key: nothing rests on it from the next decision on.
    pub async fn retire_principal(&self, thumbprint: &str, peer: Peer) -> Result<u64, RecorderError> {
        let unknown = || RecorderError::PrincipalUnknown(thumbprint.chars().take(80).collect());
        let (principal, jwk) = self.control().key(thumbprint).ok_or_else(unknown)?;
        let fields = Fields::new()
            .text("change", "principal-retired")
            .json("principal", &json!(principal))
            .json("key", &jwk.to_json())
            .text("thumbprint", thumbprint)
            .json("by", &json!(identity::peer_principal(&self.names().issuer, peer.uid)))
            .text("assurance", "inferred");
        let item = self.0.sealer.item(Kind::KeyOrTrustChanged, Place::LOG, fields)?;
        let guard = Guard::KeyInForce { thumbprint: thumbprint.to_owned() };
        match self.append(Draft::one(guard, item)).await? {
            Reply::Written(written) => Ok(written.first),
            _ => Err(unknown()),
        }
    }
}
