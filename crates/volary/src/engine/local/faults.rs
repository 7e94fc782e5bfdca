//! What is left when the disk fails at the worst moment: a commit of which nobody learns how it ended, a sync without
//! space, a file that cannot be unlinked.

use super::files::{Files, ObjectFile, SystemFiles};
use super::handle::Open;
use super::ids::BLOCK_BYTES;
use super::root::Root;
use super::store::Store;
use crate::engine::{CreateOptions, OpenOptions, VolumeEntry};
use crate::{Ctl, Error, ErrorKind, ImportRequest, ImportSource, Name, Namespace, Target};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Condition = Box<dyn FnMut() -> bool + Send>;

/// The files of the system, until told to fail.
struct Failing {
    inner: SystemFiles,
    commits: Mutex<Option<Condition>>,
    unlinks: AtomicBool,
    syncs: Arc<AtomicBool>,
}

struct FailingFile(Box<dyn ObjectFile>, Arc<AtomicBool>);

impl Files for Failing {
    fn create(&self, path: &Path) -> io::Result<Box<dyn ObjectFile>> {
        Ok(Box::new(FailingFile(self.inner.create(path)?, self.syncs.clone())))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Box<dyn ObjectFile>> {
        Ok(Box::new(FailingFile(self.inner.open(path, write)?, self.syncs.clone())))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        if self.unlinks.load(SeqCst) {
            return Err(io::Error::other("unlinking fails"));
        }
        self.inner.unlink(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn committed(&self) -> io::Result<()> {
        let fails = self.commits.lock().unwrap().as_mut().is_some_and(|fails| fails());
        if fails { Err(io::Error::other("the commit fails")) } else { Ok(()) }
    }
}

impl ObjectFile for FailingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(data, offset)
    }

    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()> {
        self.0.zero_at(offset, len)
    }

    fn cut_at(&self, length: u64) -> io::Result<()> {
        self.0.cut_at(length)
    }

    fn sync(&self) -> io::Result<()> {
        if self.1.load(SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.0.sync()
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        self.0.allocated_bytes()
    }
}

/// A store with one volume of four blocks, of which the first two hold ones.
struct Scene {
    dir: tempfile::TempDir,
    files: Arc<Failing>,
    store: Arc<Store>,
    ctl: Ctl,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl Scene {
    fn new() -> Scene {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let inner = SystemFiles(root.clone());
        let (commits, unlinks, syncs) = Default::default();
        let files = Arc::new(Failing { inner, commits, unlinks, syncs });
        let store = Store::over(root, files.clone()).unwrap();
        Scene { dir, files, store, ctl: Ctl::new() }
    }

    fn with_volume() -> (Scene, Open) {
        let scene = Scene::new();
        let options = CreateOptions::new(4 * BLOCK_BYTES);
        scene.store.create(&Namespace::default(), &name("web"), &options).unwrap();
        let open = scene.open();
        scene.write(&open, 0, 1);
        scene.write(&open, 1, 1);
        open.flush(&scene.ctl).unwrap();
        (scene, open)
    }

    fn open(&self) -> Open {
        let target = Target::Name(name("web"));
        self.store.open_volume(&Namespace::default(), &target, &OpenOptions::write()).unwrap()
    }

    fn try_write(&self, open: &Open, block: u64, byte: u8) -> Result<(), Error> {
        open.write(block * BLOCK_BYTES, &vec![byte; BLOCK_BYTES as usize].into(), &self.ctl)
    }

    fn write(&self, open: &Open, block: u64, byte: u8) {
        self.try_write(open, block, byte).unwrap();
    }

    fn first_byte(&self, open: &Open, block: u64) -> u8 {
        open.read(block * BLOCK_BYTES, 1, &self.ctl).unwrap()[0]
    }

    /// Of the commits to come, this one happens and nobody is told.
    fn fail_commit(&self, number: u32) {
        let mut commits = 0;
        let fails = move || {
            commits += 1;
            commits == number
        };
        self.files.commits.lock().unwrap().replace(Box::new(fails));
    }

    fn objects(&self) -> usize {
        let dirs = std::fs::read_dir(self.dir.path().join("objects")).unwrap();
        dirs.map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap().count()).sum()
    }

    /// What a store opened now holds: no object but those of rows.
    fn assert_objects_after_sweep(&self, expected: usize) {
        drop(Store::open(self.dir.path()).unwrap());
        assert_eq!(self.objects(), expected);
    }

    fn fail_unlinks(&self, fail: bool) {
        self.files.unlinks.store(fail, SeqCst);
    }

    fn refuses_writes(&self, open: &Open) {
        let refused = self.try_write(open, 0, 9).unwrap_err();
        assert!(refused.report().contains("failed to make writes durable"), "{}", refused.report());
    }
}

#[test]
fn a_snapshot_whose_commit_is_in_doubt_is_never_written_to() {
    let (scene, open) = Scene::with_volume();
    scene.fail_commit(1);
    open.create_snapshot(&name("s"), &scene.ctl).unwrap_err();
    scene.refuses_writes(&open);
    drop(open);
    let open = scene.open();
    scene.write(&open, 0, 2);
    open.flush(&scene.ctl).unwrap();
    let options = OpenOptions::read(Some(name("s")));
    let snapshot =
        scene.store.open_volume(&Namespace::default(), &Target::Id(open.id.clone()), &options).unwrap();
    assert_eq!((scene.first_byte(&snapshot, 0), scene.first_byte(&open, 0)), (1, 2));
}

#[test]
fn a_rollback_or_resize_whose_commit_is_in_doubt_leaves_no_handle_that_writes() {
    let (scene, open) = Scene::with_volume();
    open.create_snapshot(&name("s"), &scene.ctl).unwrap();
    scene.write(&open, 0, 2);
    open.flush(&scene.ctl).unwrap();
    scene.fail_commit(1);
    open.rollback(&name("s"), &scene.ctl).unwrap_err();
    scene.refuses_writes(&open);
    drop(open);
    let open = scene.open();
    assert_eq!(scene.first_byte(&open, 0), 1);
    scene.fail_commit(1);
    open.resize(8 * BLOCK_BYTES, &scene.ctl).unwrap_err();
    scene.refuses_writes(&open);
    drop(open);
    assert_eq!(scene.open().stat().unwrap().size_bytes, 8 * BLOCK_BYTES);
}

#[test]
fn a_flush_whose_commit_is_in_doubt_leaves_its_objects_to_the_sweep() {
    let (scene, open) = Scene::with_volume();
    scene.write(&open, 2, 3);
    scene.fail_commit(1);
    open.flush(&scene.ctl).unwrap_err();
    drop(open);
    scene.assert_objects_after_sweep(3);
    assert_eq!(scene.first_byte(&scene.open(), 2), 3);
}

#[test]
fn a_flush_without_space_gives_up_what_it_wrote_when_the_handle_goes() {
    let (scene, open) = Scene::with_volume();
    scene.write(&open, 2, 3);
    scene.files.syncs.store(true, SeqCst);
    for _ in 0..2 {
        assert_eq!(open.flush(&scene.ctl).unwrap_err().kind(), ErrorKind::NoSpace);
    }
    drop(open);
    assert_eq!(scene.objects(), 2);
}

#[test]
fn s04_a_flush_that_cannot_unlink_is_done_and_forgets_nothing() {
    let (scene, open) = Scene::with_volume();
    open.write_zeroes(0, BLOCK_BYTES, &scene.ctl).unwrap();
    scene.fail_unlinks(true);
    open.flush(&scene.ctl).unwrap();
    assert_eq!((scene.first_byte(&open, 0), scene.objects()), (0, 2));
    scene.fail_unlinks(false);
    open.close(&scene.ctl).unwrap();
    scene.assert_objects_after_sweep(1);
}

#[test]
fn s04_a_block_replaced_before_its_flush_is_swept_if_it_cannot_be_unlinked() {
    let (scene, open) = Scene::with_volume();
    scene.write(&open, 2, 3);
    scene.fail_unlinks(true);
    open.write_zeroes(2 * BLOCK_BYTES, BLOCK_BYTES, &scene.ctl).unwrap();
    open.close(&scene.ctl).unwrap();
    assert_eq!(scene.objects(), 3);
    scene.assert_objects_after_sweep(2);
}

#[test]
fn s02_s04_what_cannot_be_unlinked_fails_no_call_that_took_effect() {
    let (scene, open) = Scene::with_volume();
    scene.fail_unlinks(true);
    open.resize(BLOCK_BYTES, &scene.ctl).unwrap();
    assert_eq!(open.stat().unwrap().size_bytes, BLOCK_BYTES);
    open.create_snapshot(&name("s"), &scene.ctl).unwrap();
    scene.write(&open, 0, 2);
    open.rollback(&name("s"), &scene.ctl).unwrap();
    assert_eq!(scene.first_byte(&open, 0), 1);
    scene.fail_unlinks(false);
    open.remove_snapshot(&name("s"), &scene.ctl).unwrap();
    open.close(&scene.ctl).unwrap();
    scene.assert_objects_after_sweep(1);
    scene.fail_unlinks(true);
    let (home, entry) = (Namespace::default(), VolumeEntry { name: name("web"), id: open.id.clone() });
    scene.store.remove(&home, &entry, &scene.ctl).unwrap();
    let id = scene.store.create(&home, &name("web"), &CreateOptions::new(BLOCK_BYTES)).unwrap();
    let open = scene.open();
    scene.write(&open, 0, 1);
    open.close(&scene.ctl).unwrap();
    scene
        .store
        .trash_move(&home, &VolumeEntry { name: name("web"), id: id.clone() }, Duration::ZERO)
        .unwrap();
    scene.store.trash_remove(&home, &id, true, &scene.ctl).unwrap();
    assert_eq!(scene.objects(), 2);
    scene.assert_objects_after_sweep(0);
}

#[test]
fn s13_only_what_another_handle_wrote_is_synced_before_it_gets_a_leaf() {
    let (scene, open) = Scene::with_volume();
    let ones = crate::leaf(&[1; BLOCK_BYTES as usize]).unwrap();
    scene.files.syncs.store(true, SeqCst);
    open.record_leaves(&[(0, ones)], &scene.ctl).unwrap();
    open.close(&scene.ctl).unwrap();
    let later = scene.open();
    later.record_leaves(&[(0, ones)], &scene.ctl).unwrap();
    let error = later.record_leaves(&[(1, ones)], &scene.ctl).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{}", error.report());
    scene.files.syncs.store(false, SeqCst);
    later.record_leaves(&[(1, ones)], &scene.ctl).unwrap();
    assert_eq!(later.read_block(BLOCK_BYTES, BLOCK_BYTES as usize, &scene.ctl).unwrap().1, Some(ones));
    later.close(&scene.ctl).unwrap();
}

impl Scene {
    /// Imports 32 MiB, with a snapshot, and says what came of it.
    async fn import(&self) -> ErrorKind {
        let image = self.dir.path().join("disk.raw");
        std::fs::write(&image, vec![7; 32 << 20]).unwrap();
        let store = crate::Store::over(Arc::new(super::engine::Local::new(self.store.clone())));
        let mut request = ImportRequest::new(ImportSource::Path(image), "web".parse().unwrap());
        request.snapshot = Some(name("base"));
        store.import(&request, &self.ctl).await.unwrap_err().kind()
    }

    fn assert_nothing_left(&self) {
        let home = Namespace::default();
        assert_eq!(self.store.volumes_after(&home, None, 9).unwrap(), []);
        assert_eq!(self.store.trash(&home).unwrap().len(), 0);
        assert_eq!(self.store.records(&home, "", b"", 9).unwrap().records.len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s01_an_import_whose_flush_finds_no_space_ends_so_and_leaves_nothing() {
    let scene = Scene::new();
    scene.files.syncs.store(true, SeqCst);
    assert_eq!(scene.import().await, ErrorKind::NoSpace);
    scene.assert_nothing_left();
    assert_eq!(scene.objects(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn s01_an_import_whose_snapshot_is_in_doubt_is_undone() {
    let scene = Scene::new();
    let database = rusqlite::Connection::open(scene.dir.path().join("store.db")).unwrap();
    let mut over = false;
    let snapshot_made = move || {
        let made =
            database.query_row("SELECT count(*) FROM snapshot", [], |row| row.get::<_, i64>(0)).unwrap();
        let first = made > 0 && !over;
        over |= first;
        first
    };
    scene.files.commits.lock().unwrap().replace(Box::new(snapshot_made));
    assert_eq!(scene.import().await, ErrorKind::Internal);
    scene.assert_nothing_left();
    assert_eq!(scene.objects(), 0);
}
