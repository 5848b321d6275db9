//! The two attributes of a volume and of a store, as bytes.

use crate::Error;
use doorbell_blobstore::Attribute;
use doorbell_control::Uuid;

/// Bytes of a name at most.
pub const NAME_MAX: usize = 63;
/// Bytes that a new volume's name takes, zeroes after it included. A renamed one's, and a store's, end with one zero.
const NAME_ROOM: usize = NAME_MAX + 1;
/// Bytes of a UUID as text, with the zero that ends it.
const UUID_LEN: usize = 37;

pub(crate) const NAME: &[u8] = b"name";
pub(crate) const UUID: &[u8] = b"uuid";

/// A name that can be stored, and told from others.
pub(crate) fn check(name: &str) -> Result<(), Error> {
    match name.len() {
        1..=NAME_MAX if !name.contains('\0') => Ok(()),
        _ => Err(Error::Name { name: name.to_owned() }),
    }
}

/// A text with the zero that ends it.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// Of a new volume.
pub(crate) fn of_volume(name: &str, uuid: Uuid) -> Vec<Attribute> {
    let mut padded = name.as_bytes().to_vec();
    padded.resize(NAME_ROOM, 0);
    vec![(NAME.to_vec(), padded), (UUID.to_vec(), text(&uuid.to_string()))]
}

/// Of a new store.
pub(crate) fn of_store(name: &str, uuid: Uuid) -> Vec<Attribute> {
    vec![(UUID.to_vec(), text(&uuid.to_string())), (NAME.to_vec(), text(name))]
}

fn value<'a>(of: &'a [Attribute], wanted: &[u8]) -> Option<&'a [u8]> {
    of.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_slice())
}

/// The name of a volume or a store, if it has a valid one. It ends with the first zero, as text does in C.
pub fn name(of: &[Attribute]) -> Option<String> {
    let bytes = value(of, NAME).filter(|bytes| bytes.len() <= NAME_ROOM)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
    (!text.is_empty()).then_some(text)
}

/// The UUID of a volume or a store, if it has a valid one.
pub fn uuid(of: &[Attribute]) -> Option<Uuid> {
    let (end, text) = value(of, UUID).filter(|bytes| bytes.len() == UUID_LEN)?.split_last()?;
    let text = str::from_utf8(text).ok().filter(|_| *end == 0)?;
    text.parse().ok().filter(|uuid: &Uuid| !uuid.is_nil())
}

#[cfg(test)]
mod tests;
