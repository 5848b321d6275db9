//! How structures lie in a message: field after field, without padding, in the machine's byte order.

use crate::Malformed;

/// A field of a structure.
pub(crate) trait Field: Sized + Copy {
    /// Takes it off the front.
    fn take(from: &[u8]) -> Result<(Self, &[u8]), Malformed>;
    /// Puts it at the front, and gives what is left.
    fn put(self, to: &mut [u8]) -> &mut [u8];
}

macro_rules! number {
    ($($ty:ident)*) => { $(
        impl Field for $ty {
            #[inline]
            fn take(from: &[u8]) -> Result<(Self, &[u8]), Malformed> {
                let (bytes, rest) = from.split_first_chunk().ok_or(Malformed::Short)?;
                Ok(($ty::from_ne_bytes(*bytes), rest))
            }

            #[inline]
            fn put(self, to: &mut [u8]) -> &mut [u8] {
                match to.split_first_chunk_mut() {
                    Some((bytes, rest)) => {
                        *bytes = self.to_ne_bytes();
                        rest
                    }
                    // The macro that makes the structures makes their lengths from the same list.
                    None => &mut [],
                }
            }
        }
    )* };
}
number!(u16 u32 u64);

/// Names bits of a number.
macro_rules! flags {
    ($(#[$meta:meta])* $name:ident: $ty:ident { $( $(#[$fmeta:meta])* $bit:ident = $value:expr, )* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        pub struct $name(pub $ty);

        impl $name {
            $( $(#[$fmeta])* pub const $bit: Self = Self($value); )*

            /// Are all of these set?
            pub const fn has(self, these: Self) -> bool {
                self.0 & these.0 == these.0
            }

            /// With these set too.
            #[must_use]
            pub const fn with(self, these: Self) -> Self {
                Self(self.0 | these.0)
            }
        }

        impl crate::field::Field for $name {
            fn take(from: &[u8]) -> Result<(Self, &[u8]), crate::Malformed> {
                let (n, rest) = crate::field::Field::take(from)?;
                Ok((Self(n), rest))
            }

            fn put(self, to: &mut [u8]) -> &mut [u8] {
                self.0.put(to)
            }
        }
    };
}

/// A structure of fixed length.
macro_rules! fixed {
    ($(#[$meta:meta])* $vis:vis $name:ident = $len:literal { $( $(#[$fmeta:meta])* $field:ident: $ty:ty, )* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        $vis struct $name { $( $(#[$fmeta])* $vis $field: $ty, )* }

        const _: () = assert!($len == 0 $( + size_of::<$ty>() )*);

        impl $name {
            #[doc = concat!("Bytes of a [`", stringify!($name), "`] in a message.")]
            $vis const LEN: usize = $len;

            /// Reads it off the front; what follows it comes second. Nothing is checked but that it is there.
            $vis fn split(bytes: &[u8]) -> Result<(Self, &[u8]), crate::Malformed> {
                let rest = bytes;
                $( let ($field, rest) = crate::field::Field::take(rest)?; )*
                Ok((Self { $( $field, )* }, rest))
            }

            /// As it lies in a message.
            $vis fn encode(&self) -> [u8; $len] {
                let mut out = [0; $len];
                let rest = out.as_mut_slice();
                $( let rest = crate::field::Field::put(self.$field, rest); )*
                debug_assert!(rest.is_empty());
                out
            }
        }
    };
}

pub(crate) use {fixed, flags};

/// Does the room that a peer states hold a structure?
pub(crate) fn fits(argsz: u32, len: usize) -> Result<(), Malformed> {
    if usize::try_from(argsz).is_ok_and(|n| n >= len) { Ok(()) } else { Err(Malformed::Argsz) }
}
