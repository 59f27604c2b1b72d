//! Runs, locks, ring files and full disks, on real files.

#![allow(unsafe_code)] // mount and umount, for the full disk

mod common;

use std::ffi::CString;
use std::path::{Path, PathBuf};

use common::{CAPACITY, append};
use penstock_ring::{
    Cursor, Drain, Item, RingWriter, Run, RunError, SyncThread, boot_id, is_live, open_readable, ring_files,
};

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("penstock-files-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

#[test]
fn runs_count_up_and_only_an_ended_one_is_adopted() {
    let folder = folder("runs");
    let first = Run::begin(&folder).expect("first");
    let second = Run::begin(&folder).expect("second");
    assert_eq!((first.number(), second.number()), (1, 2));
    let ring = first.create_ring(3, CAPACITY, 5).expect("ring");
    let mut writer = RingWriter::new(ring);
    append(&mut writer).expect("room");
    assert!(is_live(&folder, 1) && !is_live(&folder, 9));
    assert!(Run::adopt(&folder, 1).expect("tried").is_none());
    drop(first);
    assert!(!is_live(&folder, 1));
    let adopted = Run::adopt(&folder, 1).expect("tried").expect("free");
    let files = adopted.ring_files().expect("listed");
    assert_eq!((files.len(), files[0].run, files[0].worker), (1, 1, 3));
    let ring = adopted.open_ring(&files[0]).expect("opened");
    assert_eq!(ring.identity().boot_id, boot_id().expect("boot id"));
    let mut drain = Drain::new(ring);
    assert!(matches!(drain.read_next(), Item::Call(_)));
    drain.commit();
    // A later drain has nothing left, a reader from the oldest still sees it.
    let readable = open_readable(&files[0].path).expect("readable");
    assert!(matches!(Drain::new(readable.clone()).read_next(), Item::End));
    assert!(matches!(Cursor::oldest(readable).read_next(), Item::Call(_)));
    // A counter that was lost or damaged does not bring an old number back.
    std::fs::write(folder.join("run.counter"), "nonsense").expect("written");
    let third = Run::begin(&folder).expect("third");
    assert_eq!(third.number(), 3, "run 2 is held, run 1 has files");
    adopted.remove().expect("removed");
    assert!(ring_files(&folder).expect("listed").is_empty());
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn a_ring_is_made_once_with_a_valid_capacity_and_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder("modes");
    let run = Run::begin(&folder).expect("run");
    assert!(matches!(run.create_ring(0, 1000, 0), Err(RunError::Header { .. })));
    run.create_ring(0, CAPACITY, 0).expect("ring");
    assert!(matches!(run.create_ring(0, CAPACITY, 0), Err(RunError::Io { .. })));
    let path = &ring_files(&folder).expect("listed")[0].path;
    assert_eq!(std::fs::metadata(path).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(path).expect("there").len(), 4096 + CAPACITY);
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[test]
fn the_sync_thread_syncs_when_it_ends() {
    let folder = folder("sync");
    let run = Run::begin(&folder).expect("run");
    let ring = run.create_ring(0, CAPACITY, 0).expect("ring");
    let (failed, failures) = std::sync::mpsc::channel();
    let sync = SyncThread::start(vec![ring.clone()], std::time::Duration::from_millis(1), move |_, error| {
        let _ = failed.send(error);
    });
    append(&mut RingWriter::new(ring)).expect("room");
    drop(sync.expect("started"));
    assert_eq!(failures.try_iter().count(), 0);
    std::fs::remove_dir_all(&folder).expect("removed");
}

/// Mounts a tmpfs of `bytes`; `None` with the reason printed where the kernel does not let us.
fn small_disk(path: &Path, bytes: u64) -> Option<()> {
    let target = CString::new(path.to_str().expect("utf-8")).expect("no NUL");
    let options = CString::new(format!("size={bytes}")).expect("no NUL");
    // SAFETY: the strings are NUL-terminated and outlive the call.
    let mounted = unsafe {
        libc::mount(c"tmpfs".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast())
    };
    if mounted == 0 {
        return Some(());
    }
    // SAFETY: no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    let error = std::io::Error::last_os_error();
    assert!(!root || error.raw_os_error() == Some(libc::EPERM), "root could not mount: {error}");
    println!("SKIPPED: the full disk cannot be made, as mounting needs root: {error}");
    None
}

#[test]
fn a_full_disk_is_a_clear_error_and_leaves_no_file() {
    let folder = folder("full");
    std::fs::create_dir_all(&folder).expect("made");
    if small_disk(&folder, 2 << 20).is_none() {
        return;
    }
    let run = Run::begin(&folder).expect("run");
    run.create_ring(0, CAPACITY, 0).expect("a small ring fits");
    let refused = run.create_ring(1, 4 << 20, 0);
    let left = ring_files(&folder).expect("listed").len();
    let again = run.create_ring(1, CAPACITY, 0);
    drop(run);
    let target = CString::new(folder.to_str().expect("utf-8")).expect("no NUL");
    assert!(again.is_ok(), "the refused ring gave its room back: {again:?}");
    drop(again);
    // SAFETY: the string is NUL-terminated and outlives the call.
    assert_eq!(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }, 0);
    std::fs::remove_dir_all(&folder).expect("removed");
    match refused {
        Err(RunError::NoSpace { bytes, .. }) => assert_eq!(bytes, (4 << 20) + 4096),
        other => panic!("expected no space: {other:?}"),
    }
    assert_eq!(left, 1);
}
