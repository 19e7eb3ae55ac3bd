//! Bytes that were right, and then harmed as disks, networks and strangers harm them.

use bolero::TypeGenerator;

/// One harm. Places and lengths are taken modulo what there is.
#[derive(Debug, Clone, TypeGenerator)]
pub enum Harm {
    /// Bits of a byte are flipped.
    Flip {
        /// Which byte.
        at: u32,
        /// Which bits.
        mask: u8,
    },
    /// All behind a place is gone.
    Cut {
        /// The place.
        at: u32,
    },
    /// Bytes are gone, and the rest follows on.
    Remove {
        /// From where on.
        at: u32,
        /// How many.
        len: u8,
    },
    /// Bytes come in between.
    Insert {
        /// Where.
        at: u32,
        /// These.
        byte: u8,
        /// So many.
        len: u8,
    },
    /// A stretch is zeros, as of a sector that was never written.
    Zero {
        /// From where on.
        at: u32,
        /// How many.
        len: u16,
    },
    /// A stretch stands over another.
    Copy {
        /// From where.
        from: u32,
        /// To where.
        to: u32,
        /// How many.
        len: u16,
    },
}

/// Applies harms, one after the other.
pub fn harm(bytes: &mut Vec<u8>, harms: &[Harm]) {
    for harm in harms {
        apply(bytes, harm);
    }
}

fn apply(bytes: &mut Vec<u8>, harm: &Harm) {
    let count = bytes.len();
    if count == 0 {
        return;
    }
    let place = |at: &u32| usize::try_from(*at).unwrap_or(usize::MAX) % count;
    let stretch = |at: &u32, len: usize| place(at)..place(at).saturating_add(len).min(count);
    match harm {
        Harm::Flip { at, mask } => bytes[place(at)] ^= mask,
        Harm::Cut { at } => bytes.truncate(place(at)),
        Harm::Remove { at, len } => drop(bytes.drain(stretch(at, usize::from(*len)))),
        Harm::Insert { at, byte, len } => {
            let inserted = std::iter::repeat_n(*byte, usize::from(*len));
            bytes.splice(place(at)..place(at), inserted);
        }
        Harm::Zero { at, len } => bytes[stretch(at, usize::from(*len))].fill(0),
        Harm::Copy { from, to, len } => {
            let copied = bytes[stretch(from, usize::from(*len))].to_vec();
            let to = place(to);
            let len = copied.len().min(count - to);
            bytes[to..to + len].copy_from_slice(&copied[..len]);
        }
    }
}
