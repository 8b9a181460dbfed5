//! A disk that does the worst that POSIX allows.
//!
//! * A write is in the cache at once and on the disk some time after, sector by sector, in any order and
//!   in any version since the last sync.
//! * A name that was created, renamed or removed is on the disk some time after, in any order.
//! * A sync that fails leaves each sector written or not, and the cache counts as clean: the next
//!   sync succeeds and writes nothing of it.
//! * Any call may fail, a write after some of its bytes, and the machine may stop at any call.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::disk::{Disk, DiskFile};

pub(crate) const SECTOR: usize = 512;

/// A failure of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The machine stops: this call is half done, and all later ones fail.
    Stop,
    /// The call fails.
    Error,
    /// The disk is full, if the call needs room; otherwise it fails.
    Full,
}

/// A call that is left out: what a log that forgets it would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Omission {
    FolderSyncs,
    FileSyncs,
}

#[derive(Clone)]
pub(crate) struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

pub(crate) struct SimFile {
    inode: u64,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    random: SmallRng,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    /// Names as processes see them.
    names: BTreeMap<String, u64>,
    /// Names on the disk,
    durable_names: BTreeMap<String, u64>,
    /// and their changes since.
    changes: Vec<(String, Option<u64>)>,
    /// Calls until the fault.
    countdown: Option<(u32, Fault)>,
    stopped: bool,
    omission: Option<Omission>,
    pub faults: u64,
    pub failed_syncs: u64,
    pub full: u64,
}

#[derive(Clone, Default)]
struct Inode {
    cache: Vec<u8>,
    disk: Vec<u8>,
    has_durable_length: bool,
    /// Versions of each sector that were written since the last sync.
    dirty: BTreeMap<usize, Vec<[u8; SECTOR]>>,
}

impl Inode {
    fn sector(bytes: &[u8], number: usize) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        let bytes = &bytes[number * SECTOR..bytes.len().min((number + 1) * SECTOR)];
        sector[..bytes.len()].copy_from_slice(bytes);
        sector
    }

    fn set_sector(bytes: &mut [u8], number: usize, sector: &[u8; SECTOR]) {
        let end = bytes.len().min((number + 1) * SECTOR);
        let bytes = &mut bytes[number * SECTOR..end];
        bytes.copy_from_slice(&sector[..bytes.len()]);
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if end > self.cache.len() {
            self.cache.resize(end, 0);
            self.disk.resize(end, 0);
            self.has_durable_length = false;
        }
        self.cache[offset..end].copy_from_slice(bytes);
        for number in offset / SECTOR..=(end - 1) / SECTOR {
            let sector = Inode::sector(&self.cache, number);
            self.dirty.entry(number).or_default().push(sector);
        }
    }

    fn sync(&mut self) {
        for (number, versions) in std::mem::take(&mut self.dirty) {
            let last = versions.last().expect("a dirty sector has a version");
            Inode::set_sector(&mut self.disk, number, last);
        }
        self.has_durable_length = true;
    }

    /// Each dirty sector reaches the disk, in one of its versions, or does not.
    fn write_back_some(&mut self, random: &mut SmallRng) {
        for (number, versions) in std::mem::take(&mut self.dirty) {
            if random.random_bool(0.5) {
                let version = &versions[random.random_range(0..versions.len())];
                Inode::set_sector(&mut self.disk, number, version);
            }
        }
    }
}

/// The call that a fault hits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Read,
    Create,
    Write,
    Sync,
    Names,
}

impl Inner {
    /// Counts the call. `Some` if it fails.
    fn fault(&mut self, call: Call) -> Option<io::Error> {
        if self.stopped {
            return Some(io::Error::other("the machine has stopped"));
        }
        let (calls, fault) = self.countdown.as_mut()?;
        if *calls > 0 {
            *calls -= 1;
            return None;
        }
        let fault = *fault;
        self.countdown = None;
        self.faults += 1;
        self.failed_syncs += u64::from(call == Call::Sync && fault != Fault::Stop);
        Some(match fault {
            Fault::Stop => {
                self.stopped = true;
                io::Error::other("the machine stops")
            }
            Fault::Full if matches!(call, Call::Create | Call::Write) => {
                self.full += 1;
                io::ErrorKind::StorageFull.into()
            }
            Fault::Full | Fault::Error => io::Error::other("a bad sector"),
        })
    }

    fn rename(&mut self, name: &str, inode: Option<u64>) {
        match inode {
            Some(inode) => self.names.insert(name.to_owned(), inode),
            None => self.names.remove(name),
        };
        self.changes.push((name.to_owned(), inode));
    }

    fn inode(&mut self, name: &str) -> io::Result<&mut Inode> {
        let inode = self.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.inodes.get_mut(inode).expect("a name has an inode"))
    }
}

impl SimDisk {
    pub(crate) fn new(seed: u64, omission: Option<Omission>) -> SimDisk {
        let inner = Inner {
            random: SmallRng::seed_from_u64(seed),
            inodes: BTreeMap::new(),
            next_inode: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            countdown: None,
            stopped: false,
            omission,
            faults: 0,
            failed_syncs: 0,
            full: 0,
        };
        SimDisk {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics with the lock")
    }

    /// Lets a later call fail.
    pub(crate) fn arm(&self, calls: u32, fault: Fault) {
        self.lock().countdown = Some((calls, fault));
    }

    /// No fault happens any more. True if one has happened since it was armed.
    pub(crate) fn disarm(&self) -> bool {
        let mut inner = self.lock();
        inner.countdown.take().is_none()
    }

    /// (faults, failed syncs, full disks) so far.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let inner = self.lock();
        (inner.faults, inner.failed_syncs, inner.full)
    }

    /// The process ends; the machine goes on.
    pub(crate) fn kill(&self) {
        let mut inner = self.lock();
        inner.countdown = None;
        assert!(!inner.stopped, "a stopped machine needs power");
    }

    /// True if the machine has stopped.
    pub(crate) fn has_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// The machine loses its power and starts again.
    pub(crate) fn lose_power(&self) {
        let mut inner = self.lock();
        let Inner {
            random,
            inodes,
            names,
            durable_names,
            changes,
            ..
        } = &mut *inner;
        for (name, inode) in changes.drain(..) {
            if random.random_bool(0.5) {
                match inode {
                    Some(inode) => durable_names.insert(name, inode),
                    None => durable_names.remove(&name),
                };
            }
        }
        names.clone_from(durable_names);
        inodes.retain(|number, _| names.values().any(|it| it == number));
        for inode in inodes.values_mut() {
            inode.write_back_some(random);
            if !std::mem::replace(&mut inode.has_durable_length, true) {
                let length = inode.disk.len();
                let left = [0, random.random_range(0..=length), length];
                inode.disk.truncate(left[random.random_range(0..3)]);
            }
            inode.cache.clone_from(&inode.disk);
        }
        inner.countdown = None;
        inner.stopped = false;
    }

    /// Changes bytes on the disk and in the cache.
    pub(crate) fn damage(&self, name: &str, change: impl Fn(&mut [u8])) {
        let mut inner = self.lock();
        let inode = inner.inode(name).expect("the file exists");
        change(&mut inode.cache);
        change(&mut inode.disk);
    }

    pub(crate) fn file_count(&self) -> usize {
        self.lock().names.len()
    }

    /// All files with their bytes, as processes see them.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let inner = self.lock();
        let files = inner.names.iter();
        let files = files.map(|(name, inode)| (name.clone(), inner.inodes[inode].cache.clone()));
        files.collect()
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut inner = self.lock();
        match inner.fault(Call::Read) {
            Some(error) => Err(error),
            None => Ok(inner.names.keys().cloned().collect()),
        }
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut inner = self.lock();
        match inner.fault(Call::Read) {
            Some(error) => Err(error),
            None => Ok(inner.inode(name)?.cache.clone()),
        }
    }

    fn create(&self, name: &str, length: u64) -> io::Result<SimFile> {
        let mut inner = self.lock();
        let error = match inner.fault(Call::Create) {
            Some(error) if inner.random.random_bool(0.5) => return Err(error),
            error => error,
        };
        let number = inner.next_inode;
        inner.next_inode += 1;
        let bytes = vec![0; length as usize];
        let inode = Inode {
            cache: bytes.clone(),
            disk: bytes,
            ..Inode::default()
        };
        inner.inodes.insert(number, inode);
        inner.rename(name, Some(number));
        match error {
            Some(error) => Err(error),
            None => Ok(SimFile {
                inode: number,
                inner: Arc::clone(&self.inner),
            }),
        }
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let mut inner = self.lock();
        if let Some(error) = inner.fault(Call::Read) {
            return Err(error);
        }
        let inode = *inner.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(SimFile {
            inode,
            inner: Arc::clone(&self.inner),
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.lock();
        let error = inner.fault(Call::Names);
        if error.is_none() || inner.random.random_bool(0.5) {
            let inode = *inner.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            inner.rename(to, Some(inode));
            inner.rename(from, None);
        }
        error.map_or(Ok(()), Err)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        let error = inner.fault(Call::Names);
        if error.is_none() || inner.random.random_bool(0.5) {
            inner.names.get(name).ok_or(io::ErrorKind::NotFound)?;
            inner.rename(name, None);
        }
        error.map_or(Ok(()), Err)
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut inner = self.lock();
        if let Some(error) = inner.fault(Call::Sync) {
            return Err(error);
        }
        if inner.omission != Some(Omission::FolderSyncs) {
            inner.changes.clear();
            inner.durable_names = inner.names.clone();
        }
        Ok(())
    }

    fn nonce(&self) -> u64 {
        self.lock().random.random()
    }
}

impl DiskFile for SimFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner.lock().expect("nobody panics with the lock");
        let error = inner.fault(Call::Write);
        let written = match &error {
            Some(_) => inner.random.random_range(0..=bytes.len()),
            None => bytes.len(),
        };
        let inode = inner.inodes.get_mut(&self.inode).expect("it is open");
        inode.write(offset as usize, &bytes[..written]);
        error.map_or(Ok(()), Err)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut inner = self.inner.lock().expect("nobody panics with the lock");
        let error = inner.fault(Call::Sync);
        let Inner {
            random,
            inodes,
            omission,
            stopped,
            ..
        } = &mut *inner;
        let inode = inodes.get_mut(&self.inode).expect("it is open");
        match error {
            None if *omission == Some(Omission::FileSyncs) => Ok(()),
            None => {
                inode.sync();
                Ok(())
            }
            Some(error) => {
                if !*stopped {
                    inode.write_back_some(random);
                }
                Err(error)
            }
        }
    }
}
