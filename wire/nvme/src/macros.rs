//! The two shapes everything here has: an open enumeration and a wire structure of a stated length.

/// A code whose set of values the peer may extend: a newtype with named constants.
macro_rules! open_enum {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($repr:ty) {
            $( $(#[$vmeta:meta])* $variant:ident = $value:literal => $text:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub $repr);

        impl $name {
            $( #[doc = $text] $(#[$vmeta])* pub const $variant: Self = Self($value); )*

            /// The name that the specification gives the code; `None` when it is not known here.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( $value => Some($text), )*
                    _ => None,
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "unknown ({:02x}h)", self.0),
                }
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({:02x}h: {})"), self.0, self.name().unwrap_or("unknown"))
            }
        }
    };
}

/// A structure as it lies on the wire: `repr(C)`, no padding, a length checked when compiling, zeroes as default.
macro_rules! wire_struct {
    (
        $(#[$meta:meta])*
        pub struct $name:ident, $len:literal bytes {
            $( $(#[$fmeta:meta])* $vis:vis $field:ident: $ty:ty, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Debug, PartialEq, Eq,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::Unaligned,
        )]
        #[repr(C)]
        pub struct $name {
            $( $(#[$fmeta])* $vis $field: $ty, )*
        }

        const _: () = assert!(core::mem::size_of::<$name>() == $len);

        impl Default for $name {
            fn default() -> Self {
                zerocopy::FromZeros::new_zeroed()
            }
        }
    };
}
