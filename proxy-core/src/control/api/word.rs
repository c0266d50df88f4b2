//! Enums that are a word on the wire.

/// Makes an enum of which each variant is a word, and `Other` any word that this version does not know.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:tt,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(test, derive(ts_rs::TS))]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)+
            /// None that this version knows.
            #[default]
            #[serde(rename = "other", other)]
            #[cfg_attr(test, ts(skip))]
            Other,
        }

        impl $name {
            /// The word on the wire; `unknown` for one that is not known.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other => "unknown",
                }
            }
        }
    };
}
