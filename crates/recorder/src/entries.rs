//! Reading entries of the log and opening their fields.

use std::sync::Arc;

use evidence::body::{self, Binding};
use evidence::{Entry, FieldSet};
use store::{KeySlot, Reader};
use zeroize::Zeroizing;

use crate::OpenError;

/// Reads and opens entries of the log.
pub(crate) struct Opener {
    pub(crate) reader: Reader,
    pub(crate) kek: Arc<Zeroizing<[u8; 32]>>,
}

impl Opener {
    /// The entry, and its fields unless they were erased.
    pub(crate) fn open(&self, index: u64) -> Result<(Entry, Option<FieldSet>), OpenError> {
        let bytes = self.reader.entry(index).map_err(|error| unreadable(index, &error))?;
        let entry = Entry::decode(&bytes).map_err(|error| unreadable(index, &error))?;
        let fields = self.fields(index, &entry)?;
        Ok((entry, fields))
    }

    fn fields(&self, index: u64, entry: &Entry) -> Result<Option<FieldSet>, OpenError> {
        let KeySlot::Present(wrapped) = self.reader.key(index).map_err(|error| unreadable(index, &error))?
        else {
            return Ok(None);
        };
        let Some(sealed) = self.reader.body(index).map_err(|error| unreadable(index, &error))? else {
            return Ok(None);
        };
        // entry 0 was sealed before its hash, the log's id, was known
        let log_id = if index == 0 { [0; 32] } else { self.reader.log_id().unwrap_or_default() };
        let key = body::unwrap_key(&wrapped, &self.kek, &log_id, &entry.event_id)
            .map_err(|_| OpenError::OtherKeys("tenant key"))?;
        let binding = Binding { log_id: &log_id, event_id: &entry.event_id, fields_root: &entry.fields_root };
        let fields =
            body::open(&sealed, &key, entry.fields, binding).map_err(|error| unreadable(index, &error))?;
        if fields.root(entry.kind) != entry.fields_root {
            return Err(unreadable(index, &"its fields are not the ones it commits to"));
        }
        Ok(Some(fields))
    }
}

pub(crate) fn unreadable(index: u64, what: &impl ToString) -> OpenError {
    OpenError::Entry { index, what: what.to_string() }
}
