//! The node pool: opening the region, registering limits, seats of workers. Control paths only.
//!
//! Knows: who shares the region and what a crash or a power cut leaves behind. Must not: decide about a call.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    blocks::Blocks,
    clock::{Now, PoolClock, TICK_SHIFT},
    key::Key,
    layout::{Layout, MAGIC, entry, header, seat},
    limit::{Limit, LimitId, Method, Rule},
    region::Region,
    rolling,
    spec::{LimitSpec, SpecError, Window},
    store::Store,
};

/// Sizes of a node pool and who opens it.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Number of this process's run; never 0, never used twice with the same region.
    pub run: u64,
    /// The kernel's boot id. Another one than the region's means that what was not synced may be lost.
    pub boot_id: u128,
    /// Limits that can be registered.
    pub limits_max: u32,
    /// Keys of all limits together that can have a bucket of their own.
    pub keys_max: u32,
    /// Keys of rolling limits among them, tokens and money apart.
    pub rolling_keys_max: u32,
    /// Keys of rolling limits of tokens and money among them.
    pub wide_keys_max: u32,
    /// Workers of all processes together.
    pub workers_max: u32,
}

impl NodeConfig {
    /// Default sizes: 51 MiB for a million keys, 18 MiB of seats for 128 workers, 16 MiB for 65,536 rolling keys and
    /// 16 MiB for 32,768 of tokens and money.
    pub fn new(run: u64, boot_id: u128) -> Self {
        Self {
            run,
            boot_id,
            limits_max: 4096,
            keys_max: 1_000_000,
            rolling_keys_max: 65_536,
            wide_keys_max: 32_768,
            workers_max: 128,
        }
    }

    fn layout(&self) -> Layout {
        Layout::new(
            self.limits_max as usize,
            self.workers_max as usize,
            self.keys_max as usize,
            self.rolling_keys_max as usize,
            self.wide_keys_max as usize,
        )
    }

    /// Length in words (of eight bytes) that the region must have.
    pub fn region_words(&self) -> usize {
        self.layout().words()
    }

    fn check(&self) -> Result<(), OpenError> {
        let fits = self.run != 0
            && (1..1 << 20).contains(&self.limits_max)
            && (1..=1 << 30).contains(&self.keys_max)
            && self.rolling_keys_max < 1 << 28
            && self.wide_keys_max < 1 << 28
            && (1..1000).contains(&self.workers_max);
        if fits { Ok(()) } else { Err(OpenError::Sizes) }
    }
}

/// Why a region cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A size or the run number is zero or beyond what the format holds.
    #[error("a size of the limit region is out of range")]
    Sizes,
    /// The region is shorter than [`NodeConfig::region_words`].
    #[error("the limit region is too short")]
    TooShort,
    /// The region was made with other sizes or by another version of this crate, or is none of ours. Its counters
    /// cannot be taken over: put it away and begin with a new one.
    #[error("the limit region was made with other sizes or by another version")]
    OtherShape,
}

/// Why a limit cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The limit is wrong in itself.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// `limits_max` limits are registered.
    #[error("too many limits")]
    Full,
    /// No block is left for the counters of a rolling limit.
    #[error("too many rolling counters")]
    NoBlock,
}

/// All counters of this node, shared by its workers (`Arc`) and, through a mapped file, by the old and the new
/// process of an upgrade.
#[derive(Debug)]
pub struct NodePool {
    pub(crate) store: Store,
    pub(crate) clock: PoolClock,
    pub(crate) run: u64,
    /// Serialises registration in this process. Never taken by a decision.
    directory: Mutex<()>,
    pub(crate) sweep_at: AtomicU32,
    registrations: AtomicU64,
    /// Pool time of the opening after a power cut of this boot.
    cut_ns: Option<u64>,
}

impl NodePool {
    /// Opens a region, making it if it is all zero, and repairs what a crash left.
    ///
    /// `live_runs` are the runs of other processes that still serve from it; seats of all others are reclaimed,
    /// their leases counted as spent. The caller serialises openings (a lock on the data directory) and knows
    /// who is alive (a lock per run). Costs a pass over all slots if nobody else is alive.
    pub fn open(region: Region, config: &NodeConfig, now: Now, live_runs: &[u64]) -> Result<Self, OpenError> {
        config.check()?;
        let layout = config.layout();
        if region.words().len() < layout.words() {
            return Err(OpenError::TooShort);
        }
        let store = Store { region, layout };
        let get = |field| store.header(field).load(Ordering::Acquire);
        let set = |field, value| store.header(field).store(value, Ordering::Release);
        let shape_fields = [header::SHAPE, header::SHAPE_MORE, header::SHAPE_WIDE];
        let shape = layout.shape();
        let boot = [config.boot_id as u64, (config.boot_id >> 64) as u64];
        match get(header::MAGIC) {
            0 => {
                shape_fields.into_iter().zip(shape).for_each(|(field, word)| set(field, word));
                set(header::BOOT_LOW, boot[0]);
                set(header::BOOT_HIGH, boot[1]);
                set(header::MONO_BASE, now.mono_ns);
                set(header::ALIGN, now.wall_ns);
                Blocks::Rolling.rebuild_free_list(&store);
                Blocks::Wide.rebuild_free_list(&store);
                set(header::MAGIC, MAGIC);
            }
            MAGIC if shape_fields.map(get) == shape => {}
            _ => return Err(OpenError::OtherShape),
        }
        if [get(header::BOOT_LOW), get(header::BOOT_HIGH)] != boot {
            let pool_ns = get(header::HEARTBEAT);
            set(header::MONO_BASE, now.mono_ns);
            set(header::POOL_BASE, pool_ns);
            set(header::ALIGN, get(header::ALIGN).max(now.wall_ns.saturating_sub(pool_ns)));
            set(header::CUT, pool_ns + 1);
            set(header::BOOT_LOW, boot[0]);
            set(header::BOOT_HIGH, boot[1]);
        }
        let clock = PoolClock {
            mono_base_ns: get(header::MONO_BASE),
            pool_base_ns: get(header::POOL_BASE),
            align_ns: get(header::ALIGN),
        };
        let cut_ns = get(header::CUT).checked_sub(1);
        let pool = Self {
            store,
            clock,
            run: config.run,
            directory: Mutex::new(()),
            sweep_at: AtomicU32::new(0),
            registrations: AtomicU64::new(0),
            cut_ns,
        };
        pool.recover(now, live_runs);
        Ok(pool)
    }

    /// Registers a limit: its counters are found again by its [`LimitId`], or begin. Call it for every limit of a
    /// new configuration before workers get it. Costs a pass over the directory; for control threads.
    pub fn register(&self, spec: &LimitSpec) -> Result<Arc<Limit>, RegisterError> {
        let mut rule = Rule::compile(spec)?;
        let id = LimitId::of(spec);
        let _guard = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        rule.ordinal = self.ordinal_of(id).ok_or(RegisterError::Full)?;
        rule.floor = self.floor(&rule);
        let field = |field| self.store.entry(rule.ordinal, field);
        field(entry::INTERVAL).store(rule.interval_ticks, Ordering::Release);
        field(entry::METHOD).store(rule.method as u64 + 1, Ordering::Release);
        field(entry::IN_USE).store(1, Ordering::Release);
        self.begin_reserved_slots(&rule).ok_or(RegisterError::NoBlock)?;
        let calendar = match &spec.window {
            Window::Calendar(windows) => Some(windows.clone()),
            _ => None,
        };
        let registration = self.registrations.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Limit { id, rule, registration, calendar, name: spec.name.as_str().into() }))
    }

    /// Marks all limits but these as no longer configured: [`NodePool::sweep`] frees them once they are idle.
    /// Call it after every worker has let go of the configurations that held them.
    pub fn retain(&self, live: &[LimitId]) {
        let _guard = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        for ordinal in 0..self.store.layout.limits as u32 {
            let id = self.id_at(ordinal);
            if id.0 != 0 && !live.contains(&id) {
                self.store.entry(ordinal, entry::IN_USE).store(0, Ordering::Release);
            }
        }
    }

    /// Writes the counters of a mapped file to disk. For a control thread, each second: what a power cut loses.
    pub fn sync(&self) -> std::io::Result<()> {
        self.store.region.sync()
    }

    /// Keys of a limit that have a bucket of their own.
    pub fn keys(&self, limit: &Limit) -> u64 {
        self.store.entry(limit.rule.ordinal, entry::KEYS).load(Ordering::Relaxed)
    }

    /// How many times a key of this limit got the shared overflow bucket; more than before is worth an alert.
    pub fn overflowed(&self, limit: &Limit) -> u64 {
        self.store.entry(limit.rule.ordinal, entry::OVERFLOWED).load(Ordering::Relaxed)
    }

    /// Workers that share the pool.
    pub fn workers(&self) -> u32 {
        self.store.header(header::WORKERS).load(Ordering::Relaxed) as u32
    }

    pub(crate) fn id_at(&self, ordinal: u32) -> LimitId {
        let word = |field| u128::from(self.store.entry(ordinal, field).load(Ordering::Acquire));
        LimitId(word(entry::ID_HIGH) << 64 | word(entry::ID_LOW))
    }

    /// The limit's place in the directory, claimed if it has none.
    fn ordinal_of(&self, id: LimitId) -> Option<u32> {
        let limits = 0..self.store.layout.limits as u32;
        if let Some(known) = limits.clone().find(|ordinal| self.id_at(*ordinal) == id) {
            return Some(known);
        }
        // Another process may claim at the same time: the high half decides.
        let (low, high) = (id.0 as u64, (id.0 >> 64) as u64);
        limits.into_iter().find(|ordinal| {
            let word = self.store.entry(*ordinal, entry::ID_HIGH);
            let claimed = word.compare_exchange(0, high, Ordering::AcqRel, Ordering::Acquire).is_ok();
            if claimed {
                self.store.entry(*ordinal, entry::ID_LOW).store(low, Ordering::Release);
            }
            claimed
        })
    }

    /// See [`Rule::floor`].
    fn floor(&self, rule: &Rule) -> u64 {
        match self.cut_ns {
            Some(cut_ns) if rule.short() => match rule.method {
                Method::Gcra => (cut_ns << TICK_SHIFT).saturating_add(rule.depth_ticks),
                Method::Rolling | Method::Wide => {
                    self.clock.window(cut_ns, rule.per_ns).0 + rolling::SUB_BUCKETS
                }
                _ => self.clock.window(cut_ns, rule.per_ns).0 + 1,
            },
            _ => 0,
        }
    }

    /// The bucket of the owner's own counter and the overflow bucket stand in slots that never change hands.
    fn begin_reserved_slots(&self, rule: &Rule) -> Option<()> {
        let layout = &self.store.layout;
        let reserved = [layout.overflow_slot(rule.ordinal), layout.owner_slot(rule.ordinal)];
        for (key, number) in [Key(u128::MAX), Key::OWNER].into_iter().zip(reserved) {
            let slot = self.store.slot(number, None);
            if slot.words[0].load(Ordering::Acquire) == 0 {
                if let Some(blocks) = Blocks::of(rule.method) {
                    let block = blocks.allocate(&self.store)?;
                    blocks.begin(&self.store, block);
                    slot.a().store(u64::from(block) + 1, Ordering::Release);
                }
                let words = key.words(rule.ordinal);
                slot.words[1].store(words.second, Ordering::Release);
                slot.words[0].store(words.first, Ordering::Release);
            }
        }
        Some(())
    }

    /// A free seat for a worker of this process.
    pub(crate) fn take_seat(&self) -> Option<(u32, u64)> {
        for number in 0..self.store.layout.seats as u32 {
            let state = self.store.seat(number, seat::STATE);
            let before = state.load(Ordering::Acquire);
            let taken = ((before >> 32) + 1) << 32 | 1;
            if before & 1 == 0
                && state.compare_exchange(before, taken, Ordering::AcqRel, Ordering::Acquire).is_ok()
            {
                self.store.seat(number, seat::RUN).store(self.run, Ordering::Release);
                self.store.header(header::WORKERS).fetch_add(1, Ordering::AcqRel);
                return Some((number, taken));
            }
        }
        None
    }

    /// Tells the pool how late it is; a power cut resumes from the latest that was synced.
    pub(crate) fn beat(&self, pool_ns: u64) {
        let heartbeat = self.store.header(header::HEARTBEAT);
        if heartbeat.load(Ordering::Relaxed) < pool_ns {
            heartbeat.fetch_max(pool_ns, Ordering::Relaxed);
        }
    }
}
