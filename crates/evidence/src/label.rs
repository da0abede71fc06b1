//! The labels that every fact carries (DESIGN §4): assurance of an identity, and what was checked.

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The word used in JSON and text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The label with this word.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use labels;

labels! {
    /// How strongly an identity or a link is known.
    Assurance {
        /// A platform vouches for it by a cryptographic or kernel mechanism.
        Attested = "attested",
        /// An issuer's signature or registration says so.
        IssuerAsserted = "issuer-asserted",
        /// Only the delegator vouches.
        DelegatorAsserted = "delegator-asserted",
        /// A key that several parties hold.
        SharedSecret = "shared-secret",
        /// Claimed, nothing more.
        Asserted = "asserted",
        /// Concluded from circumstances.
        Inferred = "inferred",
    }
}

labels! {
    /// What evidence stands behind a root delegation, weakest first.
    Grade {
        /// Only the issuer says on whose behalf it was issued.
        IssuerOnly = "issuer-only",
        /// A registered local key signed the request.
        KeySigned = "key-signed",
    }
}

labels! {
    /// What was checked, and with which key.
    Check {
        /// With a key that the verifier pinned.
        VerifiedPinned = "verified-pinned",
        /// With a key as the operator recorded it.
        VerifiedCaptured = "verified-captured",
        /// Not at all.
        NotChecked = "not-checked",
    }
}
