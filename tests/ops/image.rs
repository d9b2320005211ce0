//! The Dockerfiles. Nothing here can build them: what they copy and what they leave out is compared with what the build
//! and the binary need.

use std::collections::BTreeSet;
use std::process::Command;

use crate::embedded::{Embedded, change};
use crate::support::broker::free_port;
use crate::support::{DEADLINE, wait_until};
use crate::{compose, files};

/// The instructions of the Dockerfile, continued lines joined, without comments.
fn instructions() -> Vec<String> {
    let text = files::read("Dockerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    joined.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|l| !l.is_empty()).collect()
}

/// What is copied from the repository, as paths in it.
fn copied() -> BTreeSet<String> {
    let copies = instructions();
    let words = copies.iter().filter_map(|line| line.strip_prefix("COPY ")).filter(|rest| !rest.starts_with("--from="));
    words
        .flat_map(|rest| {
            let words: Vec<String> = rest.split(' ').map(str::to_owned).collect();
            words[..words.len() - 1].to_vec()
        })
        .collect()
}

fn is_copied(path: &str) -> bool {
    copied().iter().any(|copied| path == copied || path.starts_with(&format!("{copied}/")))
}

#[test]
fn hadolint_has_nothing_to_say() {
    let out = compose::linter("hadolint").args(["Dockerfile", "connectors/Dockerfile"]).output().expect("hadolint");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}

#[test]
fn what_the_image_copies_is_there_and_what_the_build_reads_is_copied() {
    let kept: Vec<String> =
        files::read(".dockerignore").lines().filter_map(|l| Some(l.strip_prefix('!')?.to_owned())).collect();
    for path in copied() {
        assert!(files::path(&path).exists(), "{path} is not there");
        assert!(
            kept.iter().any(|kept| &path == kept || path.starts_with(&format!("{kept}/"))),
            ".dockerignore keeps {path} out"
        );
    }
    for path in [
        "Cargo.toml",
        "Cargo.lock",
        "build.rs",
        "rust-toolchain.toml",
        "src/main.rs",
        "tools/setup",
        "tools/rocksdb/pom.xml",
    ] {
        assert!(is_copied(path), "{path} is not copied");
    }
    // Cargo refuses a manifest whose targets are not there.
    let manifest = files::read("Cargo.toml");
    for path in manifest.lines().filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"')) {
        assert!(is_copied(path), "{path} of Cargo.toml is not copied");
    }
    // Files that the compiler reads from outside of src.
    for entry in included(&files::path("src")) {
        assert!(files::path(&entry).exists() && is_copied(&entry), "{entry} is not copied");
    }
    assert!(included(&files::path("src")).contains("fixtures/debezium/ops.jsonl"));
}

/// What `concat!(env!("CARGO_MANIFEST_DIR"), "/…")` names inside an include.
fn included(dir: &std::path::Path) -> BTreeSet<String> {
    let mark = "include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/";
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(included(&path));
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let rest = text.split(mark).skip(1);
            found.extend(rest.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
    found
}

#[test]
fn the_image_has_the_libraries_that_the_binary_is_linked_with() {
    let out = Command::new("ldd").arg(env!("CARGO_BIN_EXE_highwater")).output().expect("ldd");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let dockerfile = instructions().join("\n");
    // Those of the C library are in every image.
    let base =
        ["linux-vdso.so", "ld-linux", "libc.so", "libm.so", "libpthread.so", "librt.so", "libdl.so", "libgcc_s.so"];
    for library in text.lines().filter_map(|line| line.split_whitespace().next()) {
        let library = library.rsplit('/').next().expect("a name");
        let wanted = match library.split(".so").next().expect("a name") {
            _ if base.iter().any(|known| library.starts_with(known)) => continue,
            "libssl" | "libcrypto" => " libssl3 ",
            "libz" => " zlib1g ",
            "libstdc++" => " libstdc++6 ",
            "librocksdb" => "COPY --from=build /opt/highwater/lib/librocksdb.so /opt/highwater/lib/librocksdb.so",
            _ => panic!("the Dockerfile knows nothing of {library}"),
        };
        assert!(dockerfile.contains(wanted), "{library}: no {wanted}");
    }
    // The run path is where tools/setup put the library.
    assert!(dockerfile.contains("ENV HIGHWATER_CACHE=/opt/highwater\n"), "{dockerfile}");
    assert!(dockerfile.contains("RUN tools/setup\n"), "{dockerfile}");
}

#[test]
fn it_runs_as_nobody_in_particular_with_a_state_directory_of_its_own() {
    let all = instructions();
    let user = all.iter().rposition(|line| line.starts_with("USER ")).expect("a user");
    assert!(all[user].trim_start_matches("USER ").parse::<u32>().is_ok_and(|id| id >= 1000), "{}", all[user]);
    let last = |name: &str| all.iter().rposition(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    assert!(last("RUN ") < user && last("ENTRYPOINT ") > user);
    assert!(all.contains(&"ENV HIGHWATER_STATE=/var/lib/highwater".into()));
    assert!(all.contains(&"VOLUME /var/lib/highwater".into()));
}

#[test]
fn the_healthcheck_follows_readyz() {
    let port = free_port();
    let check = || {
        let out =
            Command::new(files::path("tools/healthcheck")).arg(port.to_string()).output().expect("tools/healthcheck");
        (out.status.code(), String::from_utf8_lossy(&out.stdout).trim().to_owned(), out.stderr)
    };
    assert_eq!(check(), (Some(1), format!("nothing answers on port {port}"), Vec::new()));
    let log = Embedded::new("health");
    // No source topic yet: it waits for one, and is not ready.
    log.produce("brew.cdc.public.visits", &[change("visits", "c", &serde_json::json!({ "id": 1 }), 100)]);
    let mut highwater = log.run(port);
    wait_until(DEADLINE, "an instance that is ready", || {
        assert!(highwater.ended().is_none(), "{}", highwater.log());
        let (code, said, _) = check();
        assert_eq!(code == Some(0), said.starts_with("ready: "), "{code:?} {said}");
        (code == Some(0)).then_some(())
    });
    highwater.sigterm();
    assert!(highwater.wait(DEADLINE).success(), "{}", highwater.log());
    // And against an answer that is not 200.
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port is free again");
    let answering = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = Vec::new();
        // All of it: what is left unread when a connection is closed resets it.
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            request.extend(byte);
        }
        stream.write_all(b"HTTP/1.0 503 Service Unavailable\r\n\r\nrestoring 1 task\n").expect("an answer");
    });
    assert_eq!(check(), (Some(1), "restoring 1 task".into(), Vec::new()));
    answering.join().expect("it answered");
}
