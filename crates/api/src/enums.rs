//! Enumerations that the schema leaves open: unknown values must not break
//! the decoding of a whole list, so each has an `Other` (`api` 5).

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            /// Not set: the empty string.
            #[default]
            Unset,
            $($(#[$vdoc])* $variant,)*
            /// A value that this version does not know.
            Other,
        }

        impl $name {
            /// The value as it is written.
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::Unset => "",
                    $(Self::$variant => $text,)*
                    Self::Other => "Other",
                }
            }

            /// Whether it is not set.
            pub fn is_empty(&self) -> bool {
                *self == Self::Unset
            }

            /// Whether the schema's authors know the value.
            pub fn is_known(self) -> bool {
                !matches!(self, Self::Unset | Self::Other)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    "" => Self::Unset,
                    $($text => Self::$variant,)*
                    _ => Self::Other,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::from(Cow::<'de, str>::deserialize(deserializer)?.as_ref()))
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string"})
            }
        }
    };
}

open_enum! {
    /// Where a Promotion is (`promotions` 5.3).
    PromotionPhase {
        /// Seen, waits for its Stage.
        Pending = "Pending",
        /// Its steps run.
        Running = "Running",
        /// All steps are done.
        Succeeded = "Succeeded",
        /// A step said no.
        Failed = "Failed",
        /// A step could not do its work.
        Errored = "Errored",
        /// Somebody ended it.
        Aborted = "Aborted",
    }
}

impl PromotionPhase {
    /// Whether nothing follows any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Errored | Self::Aborted)
    }

    /// Whether all steps are done.
    pub fn is_succeeded(self) -> bool {
        self == Self::Succeeded
    }

    /// Whether somebody ended it.
    pub fn is_aborted(self) -> bool {
        self == Self::Aborted
    }
}

open_enum! {
    /// How a step stands (`promotions` 1.3).
    PromotionStepStatus {
        /// Done.
        Succeeded = "Succeeded",
        /// There was nothing to do.
        Skipped = "Skipped",
        /// It waits, or works.
        Running = "Running",
        /// Somebody ended the Promotion during the step.
        Aborted = "Aborted",
        /// It said no.
        Failed = "Failed",
        /// It could not do its work.
        Errored = "Errored",
    }
}

impl PromotionStepStatus {
    /// How bad it is: Succeeded 0, Skipped 1, Running 2, Aborted 3, Failed 4,
    /// Errored 5; none for a value that is not one of these.
    pub fn severity(self) -> Option<u8> {
        match self {
            Self::Succeeded => Some(0),
            Self::Skipped => Some(1),
            Self::Running => Some(2),
            Self::Aborted => Some(3),
            Self::Failed => Some(4),
            Self::Errored => Some(5),
            Self::Unset | Self::Other => None,
        }
    }
}

open_enum! {
    /// Where a verification is (`api` 5).
    VerificationPhase {
        /// Not begun.
        Pending = "Pending",
        /// Under way.
        Running = "Running",
        /// Passed.
        Successful = "Successful",
        /// Not passed.
        Failed = "Failed",
        /// Could not be carried out.
        Error = "Error",
        /// Ended by somebody.
        Aborted = "Aborted",
        /// Neither passed nor failed.
        Inconclusive = "Inconclusive",
    }
}

impl VerificationPhase {
    /// Whether nothing follows any more.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Successful | Self::Failed | Self::Error | Self::Aborted | Self::Inconclusive
        )
    }
}

open_enum! {
    /// How well what a Stage deploys is.
    HealthState {
        /// Well.
        Healthy = "Healthy",
        /// The question does not arise.
        NotApplicable = "NotApplicable",
        /// On its way.
        Progressing = "Progressing",
        /// Cannot be told.
        Unknown = "Unknown",
        /// Not well.
        Unhealthy = "Unhealthy",
    }
}

impl HealthState {
    /// How bad it is, from Healthy 0 to Unhealthy 4; unknown values count as 0.
    pub fn severity(self) -> u8 {
        match self {
            Self::Healthy | Self::Unset | Self::Other => 0,
            Self::NotApplicable => 1,
            Self::Progressing => 2,
            Self::Unknown => 3,
            Self::Unhealthy => 4,
        }
    }

    /// The worse of two; on a tie the other (`api` 5).
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        if self.severity() > other.severity() { self } else { other }
    }
}
