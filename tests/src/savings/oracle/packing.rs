// SPDX-License-Identifier: BSD-3-Clause

//! First-fit decreasing: the largest piece first, each into the first container that has room for it.
//!
//! It needs at most 11/9 of the fewest possible containers and 6/9 of one more (Dosa 2007). It sees all pieces at once and in order
//! of size, as no device can.

use engine::format::compressed_block::{ENTRY_BYTES, MAX_FRAGMENTS, ROOM};

/// Into what pieces are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Container {
    /// Bytes in it.
    pub bytes: u16,
    /// Bytes that a piece needs beside its own.
    pub bytes_a_piece: u16,
    /// Most pieces in it.
    pub pieces: usize,
}

impl Container {
    /// A block of 4 KiB and nothing else.
    pub const IDEAL: Container = Container { bytes: 4096, bytes_a_piece: 0, pieces: usize::MAX };
    /// The engine's: with a head, and an entry for each of at most 14 fragments.
    pub const ENGINE: Container =
        Container { bytes: ROOM as u16, bytes_a_piece: ENTRY_BYTES as u16, pieces: MAX_FRAGMENTS };
}

/// How many containers pieces of these sizes need, in any order. A piece that does not fit into an empty container gets a block of its own.
pub fn first_fit_decreasing(container: Container, sizes: &[u16]) -> u64 {
    let needs: Vec<u16> = sizes.iter().map(|size| size.saturating_add(container.bytes_a_piece)).collect();
    let (mut fitting, large): (Vec<u16>, Vec<u16>) = needs.into_iter().partition(|&need| need <= container.bytes);
    fitting.sort_unstable_by(|one, other| other.cmp(one));
    let mut row = Row::new(container, fitting.len());
    for need in fitting {
        row.put(need);
    }
    (row.used + large.len()) as u64
}

/// Containers in a row, as many as there can be need for, and above them a tree that knows the most room below each node.
struct Row {
    container: Container,
    /// Node 1 is the root, nodes 2n and 2n + 1 lie below node n; the containers are the last half.
    most_room: Vec<u16>,
    pieces: Vec<usize>,
    used: usize,
}

impl Row {
    fn new(container: Container, count: usize) -> Row {
        let leaves = count.max(1).next_power_of_two();
        Row { container, most_room: vec![container.bytes; 2 * leaves], pieces: vec![0; leaves], used: 0 }
    }

    /// Puts a piece, which fits into an empty container, into the first container with room.
    fn put(&mut self, need: u16) {
        let leaves = self.pieces.len();
        let mut node = 1;
        while node < leaves {
            node *= 2;
            if self.most_room[node] < need {
                node += 1;
            }
        }
        let at = node - leaves;
        self.used = self.used.max(at + 1);
        self.pieces[at] += 1;
        self.most_room[node] =
            if self.pieces[at] == self.container.pieces { 0 } else { self.most_room[node].saturating_sub(need) };
        while node > 1 {
            node /= 2;
            self.most_room[node] = self.most_room[2 * node].max(self.most_room[2 * node + 1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition itself.
    fn plainly(container: Container, sizes: &[u16]) -> u64 {
        let mut sizes = sizes.to_vec();
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        let mut bins: Vec<(u32, usize)> = Vec::new();
        for size in sizes {
            let need = u32::from(size) + u32::from(container.bytes_a_piece);
            let fits = |bin: &&mut (u32, usize)| bin.0 + need <= u32::from(container.bytes) && bin.1 < container.pieces;
            match bins.iter_mut().find(fits) {
                Some(bin) => *bin = (bin.0 + need, bin.1 + 1),
                None => bins.push((need, 1)),
            }
        }
        bins.len() as u64
    }

    #[test]
    fn pieces_share_containers_as_far_as_they_fit() {
        let ideal = |sizes: &[u16]| first_fit_decreasing(Container::IDEAL, sizes);
        assert_eq!(ideal(&[]), 0);
        assert_eq!(ideal(&[4096, 4096]), 2);
        assert_eq!(ideal(&[2048, 2048]), 1);
        assert_eq!(ideal(&[2049, 2049]), 2);
        // Not optimal in the order given, but largest first.
        assert_eq!(ideal(&[1000, 3000, 1096, 3096]), 2);
        assert_eq!(ideal(&[1; 4096]), 1);
        assert_eq!(ideal(&[1; 4097]), 2);
    }

    #[test]
    fn the_engines_containers_hold_fourteen_and_their_heads() {
        let engine = |sizes: &[u16]| first_fit_decreasing(Container::ENGINE, sizes);
        assert_eq!((engine(&[10; 14]), engine(&[10; 15])), (1, 2));
        assert_eq!((engine(&[2039, 2039]), engine(&[2039, 2040])), (1, 2));
        assert_eq!(engine(&[4096, 4090]), 2, "too large for a container: plain blocks");
    }

    #[test]
    fn it_is_first_fit_decreasing_for_any_sizes() {
        let mut state = 1u64;
        for round in 0..200 {
            let most = [4096, 1500, 300][round % 3];
            let sizes: Vec<u16> = (0..round * 2)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 33) as u16 % most + 1
                })
                .collect();
            for container in [Container::IDEAL, Container::ENGINE] {
                assert_eq!(
                    first_fit_decreasing(container, &sizes),
                    plainly(container, &sizes),
                    "{container:?} {sizes:?}"
                );
            }
        }
    }
}
