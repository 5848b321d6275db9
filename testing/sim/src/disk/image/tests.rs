use super::*;
use crate::{Entropy, seeds};

/// The same as a plain array.
struct Plain {
    bytes: Vec<u8>,
    mapped: Vec<bool>,
}

const SHIFT: u8 = 9;

fn held_against(image: &Image, plain: &Plain) {
    assert_eq!(image.len_bytes(), plain.bytes.len() as u64);
    assert!(image.to_vec() == plain.bytes);
    assert!((0..image.len_blocks()).all(|lba| image.is_mapped(lba) == plain.mapped[lba as usize]));
    for lba in (0..image.len_blocks()).step_by(7) {
        for wanted in [true, false] {
            let found = plain.mapped.iter().skip(lba as usize).position(|mapped| *mapped == wanted).map(|n| lba + n as u64);
            assert_eq!(image.seek(lba, wanted), found, "from {lba}");
        }
    }
}

#[test]
fn a_sparse_image_is_a_plain_array_and_copies_stay_as_they_were() {
    for seed in seeds(20) {
        let mut entropy = Entropy::new(seed);
        let blocks = 1_000 + entropy.below(2_000);
        let stale = seed % 2 == 1;
        let mut image = if stale { Image::stale(SHIFT, blocks, seed) } else { Image::blank(SHIFT, blocks) };
        let mut plain = Plain { bytes: image.to_vec(), mapped: vec![stale; blocks as usize] };
        assert!(plain.bytes.iter().all(|b| (*b == 0) != stale), "nothing that was left behind is zero");
        let (mut copy, mut copied) = (image.clone(), plain.bytes.clone());
        for step in 0..60 {
            let blocks = image.len_blocks();
            let lba = entropy.below(blocks);
            let most = if entropy.coin() { 20 } else { blocks };
            let len = 1 + entropy.below(most).min(blocks - lba - 1);
            let (at, bytes) = (lba << SHIFT, len << SHIFT);
            let (from, to) = (at as usize, (at + bytes) as usize);
            let mapped = match entropy.below(5) {
                0 => {
                    image.clear(at, bytes);
                    plain.bytes[from..to].fill(0);
                    false
                }
                1 => {
                    let mut data = vec![0; bytes as usize];
                    entropy.fill(&mut data);
                    image.write(at, &data);
                    plain.bytes[from..to].copy_from_slice(&data);
                    true
                }
                2 => {
                    image.change(at, bytes, false, |_, _| ());
                    false
                }
                3 => {
                    let mut data = vec![0; bytes as usize];
                    noise(seed + step, at, &mut data);
                    image.change(at, bytes, true, |part, into| noise(seed + step, at + into as u64, part));
                    plain.bytes[from..to].copy_from_slice(&data);
                    true
                }
                _ => {
                    image.change(at, bytes, true, |part, _| part.fill(0));
                    plain.bytes[from..to].fill(0);
                    true
                }
            };
            plain.mapped[from >> SHIFT..to >> SHIFT].fill(mapped);
            if step % 20 == 0 {
                assert!(copy.to_vec() == copied, "seed {seed}: a copy changed with its original");
                (copy, copied) = (image.clone(), plain.bytes.clone());
            }
        }
        held_against(&image, &plain);
    }
}

#[test]
fn one_that_shrinks_forgets_what_was_behind_its_end() {
    let mut image = Image::of(9, &[7; 4096]);
    image.resize(3);
    image.resize(8);
    let mut expected = vec![0; 4096];
    expected[..3 * 512].fill(7);
    held_against(&image, &Plain { bytes: expected, mapped: (0..8).map(|n| n < 3).collect() });
}

#[test]
fn a_terabyte_costs_what_is_written_to_it() {
    let mut image = Image::blank(12, 1 << 28);
    image.write((1 << 40) - 4096, &[1; 4096]);
    image.write(123 << 20, &[2; 10_000]);
    assert_eq!(image.stored_pages(), 4);
    assert_eq!((image.seek(0, true), image.seek(0, false)), (Some(123 << 8), Some(0)));
    assert_eq!((image.seek((124 << 8) - 100, true), image.seek((1 << 28) - 1, false)), (Some((1 << 28) - 1), None));
    let copy = image.clone();
    image.clear(0, 1 << 40);
    assert_eq!((image.stored_pages(), copy.stored_pages()), (0, 4));
    assert!(image.blocks((1 << 28) - 1, 1).iter().all(|b| *b == 0) && copy.is_mapped((1 << 28) - 1));
}

#[test]
fn what_lies_past_the_end_has_no_room() {
    let mut image = Image::blank(9, 2);
    image.change(512, 4096, true, |part, _| part.fill(1));
    image.clear(1024, 4096);
    image.flip(1024, 0);
    assert_eq!(image.to_vec(), [[0; 512], [1; 512]].concat());
}
