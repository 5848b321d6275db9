//! The two macros with which a method's crate writes its parameters down, once.

/// Declares parameter structs: the struct, its decoder, its encoder and its description.
///
/// `Option` fields may be left out; a field with `= value` has that default; every other one is required. A struct
/// declared so can be a field of another. The doc comments become the schema's and the guide's text.
///
/// ```
/// use doorbell_control::{Params, Uuid, params};
///
/// params! {
///     /// Makes a device that forgets.
///     pub struct NullCreate {
///         /// Name of the device.
///         pub name: String,
///         /// Number of blocks.
///         pub num_blocks: u64,
///         /// UUID; made at random when not given.
///         pub uuid: Option<Uuid>,
///         /// Bytes of metadata with each block.
///         pub md_size: u32 = 0,
///     }
/// }
/// assert!(NullCreate::FIELDS[0].required);
/// assert!(!NullCreate::FIELDS[3].required);
/// ```
#[macro_export]
macro_rules! params {
    ($(
        $(#[doc = $doc:expr])*
        $vis:vis struct $name:ident {
            $( $(#[doc = $field_doc:expr])* $field_vis:vis $field:ident : $type:ty $(= $default:expr)? ),* $(,)?
        }
    )+) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $( $(#[doc = $field_doc])* $field_vis $field: $type, )*
        }

        impl $crate::Params for $name {
            const FIELDS: &'static [$crate::Field] = &[$(
                $crate::Field {
                    name: $crate::__bare(stringify!($field)),
                    kind: <$type as $crate::Param>::KIND,
                    required: !<$type as $crate::Param>::OPTIONAL $(&& $crate::__has_no!($default))?,
                    default: $crate::__default!($type $(, $default)?),
                    doc: concat!($($field_doc),*),
                },
            )*];

            fn from_given(#[allow(unused_mut, reason = "a struct without fields takes nothing out")] mut given: $crate::Given) -> Result<Self, $crate::Fault> {
                let it = Self {
                    $( $field: $crate::__take!(given, $crate::__bare(stringify!($field)), $type $(, $default)?), )*
                };
                given.finish().map(|()| it)
            }

            fn to_object(&self) -> $crate::serde_json::Map<String, $crate::serde_json::Value> {
                #[allow(unused_mut, reason = "a struct without fields takes nothing out")]
                let mut map = $crate::serde_json::Map::new();
                $(
                    let value = <$type as $crate::Param>::encode(&self.$field);
                    if !value.is_null() {
                        map.insert($crate::__bare(stringify!($field)).to_owned(), value);
                    }
                )*
                map
            }
        }

        impl $crate::Param for $name {
            const KIND: $crate::Kind = $crate::Kind::Object(<Self as $crate::Params>::FIELDS);

            fn decode(value: $crate::serde_json::Value) -> Result<Self, $crate::Fault> {
                <Self as $crate::Params>::from_given($crate::Given::object(value)?)
            }

            fn encode(&self) -> $crate::serde_json::Value {
                $crate::serde_json::Value::Object($crate::Params::to_object(self))
            }
        }
    )+};
}

/// Declares an enum whose variants are texts on the wire. A second text of a variant is an accepted synonym.
///
/// ```
/// use doorbell_control::{Param, choices};
///
/// choices! {
///     /// What a reset of statistics clears.
///     pub enum ResetMode {
///         /// Everything.
///         All = "all",
///         /// Nothing.
///         None = "none",
///     }
/// }
/// assert_eq!(ResetMode::decode("all".into()), Ok(ResetMode::All));
/// assert_eq!(ResetMode::None.text(), "none");
/// ```
#[macro_export]
macro_rules! choices {
    ($(
        $(#[doc = $doc:expr])*
        $vis:vis enum $name:ident {
            $( $(#[doc = $variant_doc:expr])* $variant:ident = $text:literal $(| $synonym:literal)* ),+ $(,)?
        }
    )+) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $vis enum $name {
            $( $(#[doc = $variant_doc])* $variant, )+
        }

        #[allow(dead_code, reason = "not every enum needs every accessor")]
        impl $name {
            /// Every one, in the order of declaration.
            $vis const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its text on the wire.
            $vis const fn text(self) -> &'static str {
                match self { $( Self::$variant => $text, )+ }
            }
        }

        impl $crate::Param for $name {
            const KIND: $crate::Kind = $crate::Kind::Enum(&[$($text $(, $synonym)*),+]);

            fn decode(value: $crate::serde_json::Value) -> Result<Self, $crate::Fault> {
                let text = <String as $crate::Param>::decode(value)?;
                match text.as_str() {
                    $( $text $(| $synonym)* => Ok(Self::$variant), )+
                    other => Err($crate::Fault::not_one_of(&[$($text $(, $synonym)*),+], other)),
                }
            }

            fn encode(&self) -> $crate::serde_json::Value {
                $crate::serde_json::Value::from(self.text())
            }
        }
    )+};
}

/// The name of a field without the `r#` of a raw identifier.
#[doc(hidden)]
pub const fn bare(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __has_no {
    ($default:expr) => {
        false
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __default {
    ($type:ty) => {
        None
    };
    ($type:ty, $default:expr) => {
        Some(|| {
            let value: $type = $default;
            <$type as $crate::Param>::encode(&value)
        })
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __take {
    ($given:ident, $name:expr, $type:ty) => {
        $given.field::<$type>($name)?
    };
    ($given:ident, $name:expr, $type:ty, $default:expr) => {
        match $given.take::<$type>($name)? {
            Some(value) => value,
            None => $default,
        }
    };
}
