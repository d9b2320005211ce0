//! Each form in each place is found: a search that finds nothing must be one that would find something.

use highwater::cli::leaks::{Kind, Search, Searcher, Values, spellings};
use highwater::store::{Checkpoint, Database};

use crate::support::bad::CANARY;
use crate::support::searched::record;
use crate::support::{Dir, Read};

/// Half a megabyte with the planted bytes over a border of what is read at once, for several sizes of that.
fn long(planted: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'.'; 600 << 10];
    for border in [4 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10] {
        let at = border - planted.len() / 2;
        bytes[at..at + planted.len()].copy_from_slice(planted);
    }
    bytes
}

#[test]
fn every_form_in_every_place_is_found() {
    // One that is the same in many forms, and one that is another in each.
    let count: usize = [CANARY, "Zoë \"C\"/<b>"].into_iter().map(found_everywhere).sum();
    println!("{count} planted values were found");
    assert!(count >= 150, "{count}");
}

fn found_everywhere(value: &str) -> usize {
    let searcher = Searcher::new(&Values::of(&[value]).expect("values")).expect("a searcher");
    let dir = Dir::new("planted");
    let mut count = 0;
    for (form, spelling) in spellings(value.as_bytes()) {
        let told = format!("{form:?} {:?}", String::from_utf8_lossy(&spelling));
        let read = |key: &[u8], value: &[u8], header: &[u8]| {
            let headers = vec![("x".to_owned(), Some(header.to_vec()))];
            let (key, value) = (Some(key.to_vec()), Some(value.to_vec()));
            Read { partition: 0, offset: 7, key, value, headers, timestamp: None }
        };
        let around = [b"a\"", &spelling[..], b"\"z"].concat();
        for (whereabouts, read) in [
            ("the key of t-0@7", read(&around, b"", b"")),
            ("the value of t-0@7", read(b"", &long(&spelling), b"")),
            ("header 1 of t-0@7", read(b"", b"", &around)),
        ] {
            let mut search = Search::new(&searcher);
            let place = search.place(Kind::Output, "t");
            record(&mut search, place, "t", &read);
            let hits: Vec<_> = search.hits.values().collect();
            assert_eq!((hits.len(), &*hits[0].first, hits[0].form), (1, whereabouts, form), "{told}");
            count += 1;
        }
        // Five borders, and each of them found once.
        std::fs::write(dir.join("file"), long(&spelling)).expect("a file");
        let mut search = Search::new(&searcher);
        search.files(&dir.join("file"), &|_| None).expect("a file");
        search.text(Kind::Page, "/metrics", &around);
        let hits: Vec<_> = search.hits.values().map(|hit| (hit.times, hit.form)).collect();
        assert_eq!(hits, [(5, form), (1, form)], "{told}");
        count += 2;
    }
    let named = Dir::new("planted-name");
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(named.join(&format!("core.{hex}.1")), "").expect("a file");
    let mut search = Search::new(&searcher);
    search.files(named.path(), &|_| None).expect("files");
    assert!(search.hits.values().any(|hit| hit.first.starts_with("the name of a file in ")), "{:?}", search.hits);
    count + 1
}

/// RocksDB compresses its blocks: what its files do not show is read through the store.
#[test]
fn every_form_in_a_compressed_store_is_found() {
    let searcher = Searcher::new(&Values::of(&[CANARY]).expect("values")).expect("a searcher");
    for (form, spelling) in spellings(CANARY.as_bytes()) {
        let dir = Dir::new("planted-store");
        let path = dir.join("stores");
        // Each of many blocks has one, over its border or not, in a key or in a value.
        let keys: Vec<Vec<u8>> = (0..4000)
            .map(|n: usize| [format!("{n:06}").as_bytes(), if n % 97 == 3 { &spelling } else { b"k" }].concat())
            .collect();
        let values: Vec<Vec<u8>> = (0..4000)
            .map(|n: usize| [vec![b'v'; n % 50], if n % 89 == 5 { spelling.clone() } else { Vec::new() }].concat())
            .collect();
        {
            let database = Database::open(&path, 8 << 20).expect("a database");
            let store = database.partition("s/t/0").expect("a store");
            let puts = keys.iter().zip(&values).map(|(key, value)| (&key[..], Some(&value[..]))).collect();
            store.write(puts, &Checkpoint { topic_id: [7; 16], offset: 1, at_ms: 0 }, None).expect("written");
            store.flush(true).expect("flushed");
            // While somebody has it, and after.
            for owned in [true, false] {
                let mut search = Search::new(&searcher);
                let before = std::fs::read_dir(&path).expect("files").count();
                search.files(&path, &|_| None).expect("a store");
                assert_eq!(std::fs::read_dir(&path).expect("files").count(), before, "nothing is written there");
                let stores = search.hits.iter().filter(|((_, place), _)| search.places[*place].kind == Kind::Store);
                let hits: Vec<_> = stores.map(|(_, hit)| (hit.times, hit.form)).collect();
                assert_eq!(hits, [(42 + 45, form)], "{owned}");
            }
        }
    }
}
