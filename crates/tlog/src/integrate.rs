//! From leaf hashes to tiles: what a writer stores when the tree grows.

use crate::Hash;
use crate::limits::{MAX_TREE_SIZE, TILE_WIDTH};
use crate::proof::{GenerateError, read_tile};
use crate::root_of;
use crate::tile::{TileId, encode_tile};

/// Tiles to write when `leaves` (hashes) are appended to a tree of `old_size`: name and bytes of each,
/// exactly those of [`crate::tile::tiles_between`], in the same order.
///
/// `read` gives the bytes of the partial tiles of the old size (at most one for each level); they are
/// taken as they are, so a writer compares the resulting root with its own before it signs. The bytes
/// do not depend on where batches begin and end.
pub fn integrate<E>(
    old_size: u64,
    leaves: &[Hash],
    read: &mut impl FnMut(TileId) -> Result<Vec<u8>, E>,
) -> Result<Vec<(TileId, Vec<u8>)>, GenerateError<E>> {
    let fits = u64::try_from(leaves.len()).ok().and_then(|added| old_size.checked_add(added));
    if fits.is_none_or(|new_size| new_size > MAX_TREE_SIZE) {
        return Err(GenerateError::TreeSize);
    }
    let full = u64::from(TILE_WIDTH);
    let mut tiles = Vec::new();
    let mut fresh = leaves.to_vec();
    let (mut level, mut size) = (0_u8, old_size);
    // each round is one level: complete the tiles it has, hand the roots of full ones to the next
    while !fresh.is_empty() {
        let mut hashes = match u16::try_from(size % full) {
            Ok(width) if width > 0 => read_tile(TileId { level, index: size / full, width }, read)?,
            _ => Vec::new(),
        };
        hashes.append(&mut fresh);
        for (index, chunk) in (size / full..).zip(hashes.chunks(usize::from(TILE_WIDTH))) {
            let width = u16::try_from(chunk.len()).unwrap_or(TILE_WIDTH);
            tiles.push((TileId { level, index, width }, encode_tile(chunk)));
            if width == TILE_WIDTH {
                fresh.push(root_of(chunk));
            }
        }
        level += 1;
        size /= full;
    }
    Ok(tiles)
}

#[cfg(test)]
mod tests;
