//! Reads the whole store and compares all that is derived with what it is derived from.

use std::collections::{BTreeMap, BTreeSet};

use proto::id::ChunkId;
use proto::master::CHUNKS_PER_BLOCK;
use proto::name::{EntryName, NameRules};
use proto::node::BucketDigest;
use redb::{Key, ReadableTable, Table, Value};

use super::bench::CHUNK_SIZE;
use crate::command::NodeNumber;
use crate::state::head::Counters;
use crate::state::rows::{
    AnswerRow, ChunkRow, EntryRow, FolderRow, NodeRow, NodeTally, PromiseRow, PurgeRow, ShareRow,
    Sums, TrashRow, UploadRow, VersionRow, decode,
};
use crate::state::tables::Tables;
use crate::state::{State, names, versions};

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// The rows of all tables, by their names.
pub(super) type Dump = BTreeMap<&'static str, Rows>;

/// All tables as bytes: equal states have equal dumps. The clock and the number of commands are left out.
pub(super) fn dump(state: &State) -> Dump {
    let transaction = state.write().unwrap();
    let mut tables = Tables::open(&transaction.transaction).unwrap();
    tables.head.at = crate::command::ClusterMillis(0);
    tables.head.applied = 0;
    macro_rules! dumped {
        ($($table:ident),*) => {
            BTreeMap::from([$((stringify!($table), rows_of(&tables.$table))),*])
        };
    }
    let mut dump = dumped!(
        folders,
        entries,
        subfolders,
        collisions,
        versions,
        former,
        former_by_time,
        blocks,
        chunks,
        node_chunks,
        failing,
        digests,
        planned,
        unknown,
        uploads,
        promises,
        promised,
        shares,
        shares_by_token,
        shares_by_target,
        shares_by_expiry,
        shared_files,
        folder_names,
        trash,
        garbage,
        purges,
        answers,
        answers_by_time,
        needs_copies,
        nodes,
        node_numbers,
        tallies
    );
    dump.insert("head", vec![(Vec::new(), tables.head.encode())]);
    dump
}

fn rows_of<K: Key + 'static, V: Value + 'static>(table: &Table<'_, K, V>) -> Rows {
    let bytes = |(key, value): (redb::AccessGuard<'_, K>, redb::AccessGuard<'_, V>)| {
        let key = K::as_bytes(&key.value()).as_ref().to_vec();
        let value = V::as_bytes(&value.value()).as_ref().to_vec();
        (key, value)
    };
    table
        .iter()
        .unwrap()
        .map(|row| bytes(row.unwrap()))
        .collect()
}

/// See the module.
pub(super) fn audit(state: &State) {
    let transaction = state.write().unwrap();
    let tables = Tables::open(&transaction.transaction).unwrap();
    let facts = Facts::read(&tables);
    facts.check_chunks(&tables);
    facts.check_nodes(&tables);
    facts.check_promises();
    facts.check_names(&tables);
    facts.check_versions(&tables);
    facts.check_shares(&tables);
    check_answers(&tables);
    assert_eq!(tables.head.counters, facts.counters(&tables), "counters");
}

/// The rows, decoded.
struct Facts {
    chunks: BTreeMap<ChunkId, ChunkRow>,
    /// How often blocks name a chunk.
    named: BTreeMap<ChunkId, u64>,
    blocks: BTreeSet<(u64, u32)>,
    versions: BTreeMap<u64, VersionRow>,
    uploads: BTreeMap<u128, UploadRow>,
    promises: BTreeMap<(u128, ChunkId), PromiseRow>,
    promised: BTreeSet<(u128, ChunkId)>,
    planned: BTreeSet<(u32, ChunkId)>,
    node_chunks: BTreeSet<(u32, ChunkId)>,
    failing: BTreeSet<(u32, ChunkId)>,
    nodes: BTreeMap<u32, NodeRow>,
    folders: BTreeMap<u64, FolderRow>,
    entries: BTreeMap<(u64, String), EntryRow>,
    trash: BTreeMap<u64, TrashRow>,
    purges: Vec<PurgeRow>,
    former: BTreeSet<(u64, u64)>,
}

impl Facts {
    fn read(tables: &Tables<'_>) -> Self {
        let mut named = BTreeMap::new();
        let mut blocks = BTreeSet::new();
        for (key, ids) in rows(&tables.blocks, |key| key, |ids: &[u8]| ids.to_vec()) {
            blocks.insert(key);
            for id in versions::block_ids(&ids).unwrap() {
                *named.entry(ChunkId::from_bytes(*id)).or_insert(0) += 1;
            }
        }
        let id = |key: &[u8; 32]| ChunkId::from_bytes(*key);
        Self {
            chunks: rows(&tables.chunks, id, |row| decode(row).unwrap()),
            named,
            blocks,
            versions: rows(&tables.versions, |key| key, |row| decode(row).unwrap()),
            uploads: rows(&tables.uploads, |key| key, |row| decode(row).unwrap()),
            promises: rows(
                &tables.promises,
                |(upload, chunk)| (upload, id(chunk)),
                |row| decode(row).unwrap(),
            ),
            promised: keys(&tables.promised, |(chunk, upload)| (upload, id(chunk))),
            planned: keys(&tables.planned, |(node, chunk)| (node, id(chunk))),
            node_chunks: keys(&tables.node_chunks, |(node, chunk)| (node, id(chunk))),
            failing: keys(&tables.failing, |(node, chunk)| (node, id(chunk))),
            nodes: rows(&tables.nodes, |key| key, |row| decode(row).unwrap()),
            folders: rows(&tables.folders, |key| key, |row| decode(row).unwrap()),
            entries: rows(
                &tables.entries,
                |(folder, name)| (folder, name.to_owned()),
                |row| decode(row).unwrap(),
            ),
            trash: rows(&tables.trash, |key| key, |row| decode(row).unwrap()),
            purges: rows(&tables.purges, |key| key, |row| decode(row).unwrap())
                .into_values()
                .collect(),
            former: keys(&tables.former, |key| key),
        }
    }

    fn check_chunks(&self, tables: &Tables<'_>) {
        for (chunk, row) in &self.chunks {
            let named = self.named.get(chunk).copied().unwrap_or(0);
            assert_eq!(row.references, named, "references of {chunk}");
            assert!(row.replicas.is_sorted_by(|a, b| a < b), "{chunk}: {row:?}");
            assert!(row.leftovers.is_sorted_by(|a, b| a < b), "{chunk}: {row:?}");
            assert!(
                row.leftovers.is_empty() || row.references == 0,
                "{chunk}: {row:?}"
            );
            assert!(row.failing.is_sorted_by(|a, b| a < b), "{chunk}: {row:?}");
            let says_something = row.references > 0
                || !row.replicas.is_empty()
                || !row.failing.is_empty()
                || !row.leftovers.is_empty();
            assert!(says_something, "{chunk} has an empty row");
            let is_proved = row.references > 0 || !row.replicas.is_empty();
            assert!(!is_proved || row.len > 0, "{chunk} has no length");
            for node in row.replicas.iter().chain(&row.failing) {
                assert!(!self.planned.contains(&(node.0, *chunk)), "{chunk}");
            }
        }
        let unnamed = self.named.keys().find(|id| !self.chunks.contains_key(id));
        assert_eq!(unnamed, None, "a named chunk has no row");
        let held: BTreeSet<_> = self
            .chunks
            .iter()
            .flat_map(|(id, row)| row.replicas.iter().map(|node| (node.0, *id)))
            .collect();
        assert_eq!(self.node_chunks, held, "node_chunks");
        let failing: BTreeSet<_> = self
            .chunks
            .iter()
            .flat_map(|(id, row)| row.failing.iter().map(|node| (node.0, *id)))
            .collect();
        assert_eq!(self.failing, failing, "failing");
        assert!(failing.is_disjoint(&held), "a copy counts and is failing");
        self.check_needs(tables);
        let garbage: BTreeSet<_> = self
            .chunks
            .iter()
            .filter(|(_, row)| row.references == 0)
            .map(|(id, row)| (row.unreferenced_since.0, *id))
            .collect();
        let listed = keys(&tables.garbage, |(since, id)| {
            (since, ChunkId::from_bytes(*id))
        });
        assert_eq!(listed, garbage, "garbage");
    }

    /// While a recount is under way, what it has not reached may be listed or not, but never a chunk that is not there.
    fn check_needs(&self, tables: &Tables<'_>) {
        let wanted = usize::from(tables.rules.replication_factor);
        let needs = self
            .needed()
            .filter(|(_, row)| row.replicas.len() != wanted);
        let mut needs: BTreeSet<_> = needs.map(|(id, _)| *id).collect();
        let mut listed = keys(&tables.needs_copies, |id| ChunkId::from_bytes(*id));
        assert!(listed.iter().all(|id| self.chunks.contains_key(id)));
        for purge in &self.purges {
            if let PurgeRow::Recount { after } = purge {
                let is_reached = |id: &ChunkId| after.is_some_and(|after| *id <= after);
                needs.retain(is_reached);
                listed.retain(is_reached);
            }
        }
        assert_eq!(listed, needs, "needs_copies");
    }

    fn needed(&self) -> impl Iterator<Item = (&ChunkId, &ChunkRow)> {
        self.chunks.iter().filter(|(_, row)| row.references > 0)
    }

    fn check_nodes(&self, tables: &Tables<'_>) {
        let mut digests: BTreeMap<(u32, u8), BucketDigest> = BTreeMap::new();
        let mut tallies: BTreeMap<u32, NodeTally> = BTreeMap::new();
        for (node, chunk) in &self.node_chunks {
            digests
                .entry((*node, chunk.bucket()))
                .or_default()
                .add(chunk);
            let tally = tallies.entry(*node).or_default();
            tally.chunks += 1;
            tally.bytes += u64::from(self.chunks[chunk].len);
        }
        for (node, _) in &self.planned {
            tallies.entry(*node).or_default().planned_deletions += 1;
            assert!(self.nodes.contains_key(node), "planned on node {node}");
        }
        let listed = rows(
            &tables.digests,
            |key| key,
            |(count, xor)| BucketDigest { count, xor },
        );
        assert_eq!(listed, digests, "digests");
        let listed = rows(&tables.tallies, |key| key, NodeTally::from);
        assert_eq!(listed, tallies, "tallies");
        for (node, chunk) in keys(&tables.unknown, |(node, id)| {
            (node, ChunkId::from_bytes(*id))
        }) {
            let key = (node, chunk);
            let is_known = self.node_chunks.contains(&key) || self.planned.contains(&key);
            assert!(
                !is_known,
                "{chunk} is both known and unknown on node {node}"
            );
        }
        let numbers = rows(&tables.node_numbers, |key| key, |number| number);
        let known: BTreeMap<_, _> = self
            .nodes
            .iter()
            .filter(|(_, row)| !row.removed)
            .map(|(number, row)| (row.id.uuid().as_u128(), *number))
            .collect();
        assert_eq!(numbers, known, "node numbers");
    }

    fn check_promises(&self) {
        let listed: BTreeSet<_> = self.promises.keys().copied().collect();
        assert_eq!(self.promised, listed, "promised");
        let mut held: BTreeMap<u128, u32> = BTreeMap::new();
        for ((upload, chunk), promise) in &self.promises {
            *held.entry(*upload).or_default() += 1;
            for node in &promise.nodes {
                assert!(
                    !self.planned.contains(&(node.0, *chunk)),
                    "{chunk} is promised on node {node:?}, where its deletion is planned"
                );
                assert!(!promise.barred.contains(node), "{chunk} on {node:?}");
            }
        }
        for (upload, row) in &self.uploads {
            let promises = held.remove(upload).unwrap_or(0);
            assert_eq!(row.promises, promises, "promises of {upload}");
        }
        assert!(held.is_empty(), "promises without an upload: {held:?}");
    }

    fn check_names(&self, tables: &Tables<'_>) {
        let mut parents = BTreeMap::from([(names::ROOT, None)]);
        for ((folder, _), entry) in &self.entries {
            if let EntryRow::Folder { folder: below, .. } = entry {
                assert!(
                    parents.insert(*below, Some(*folder)).is_none(),
                    "two places"
                );
            }
        }
        let loose = self.trash.values().filter_map(|row| folder_of(&row.entry));
        let purged = self.purges.iter().filter_map(|purge| match purge {
            PurgeRow::Folder { folder } => Some(*folder),
            _ => None,
        });
        for folder in loose.chain(purged) {
            assert!(parents.insert(folder, None).is_none(), "two places");
        }
        let found: BTreeMap<_, _> = self
            .folders
            .iter()
            .map(|(id, row)| (*id, row.parent))
            .collect();
        assert_eq!(found, parents, "parents of folders");
        let purged: BTreeSet<_> = self.purged_folders();
        for (folder, row) in &self.folders {
            if !purged.contains(folder) {
                assert_eq!(
                    row.below,
                    self.sums_below(*folder),
                    "sums of folder {folder}"
                );
            }
        }
        let folders = self.entries.iter();
        let folders: BTreeSet<_> = folders
            .filter(|(_, entry)| matches!(entry, EntryRow::Folder { .. }))
            .map(|(key, _)| key.clone())
            .collect();
        let listed = keys(&tables.subfolders, |(folder, name)| {
            (folder, name.to_owned())
        });
        assert_eq!(listed, folders, "subfolders");
        if tables.rules.names == NameRules::Portable {
            let expected: BTreeMap<_, _> = self
                .entries
                .keys()
                .map(|(folder, name)| {
                    let key = EntryName::new(name.clone()).unwrap().collision_key();
                    ((*folder, key), name.clone())
                })
                .collect();
            let listed = rows(
                &tables.collisions,
                |(folder, key)| (folder, key.to_owned()),
                str::to_owned,
            );
            assert_eq!(listed, expected, "collision keys");
        }
    }

    /// Folders in the queue of the sweep, and all below them.
    fn purged_folders(&self) -> BTreeSet<u64> {
        let mut found = BTreeSet::new();
        let mut next: Vec<u64> = self
            .purges
            .iter()
            .filter_map(|purge| match purge {
                PurgeRow::Folder { folder } => Some(*folder),
                _ => None,
            })
            .collect();
        while let Some(folder) = next.pop() {
            found.insert(folder);
            next.extend(self.in_folder(folder).filter_map(folder_of));
        }
        found
    }

    fn in_folder(&self, folder: u64) -> impl Iterator<Item = &EntryRow> {
        self.entries
            .range((folder, String::new())..(folder + 1, String::new()))
            .map(|(_, entry)| entry)
    }

    fn sums_below(&self, folder: u64) -> Sums {
        self.in_folder(folder).fold(Sums::default(), |sums, entry| {
            sums.plus(self.sums_of(entry))
        })
    }

    fn sums_of(&self, entry: &EntryRow) -> Sums {
        match entry {
            EntryRow::File { size, .. } => Sums {
                files: 1,
                folders: 0,
                bytes: *size,
            },
            EntryRow::Folder { folder, .. } => self.sums_below(*folder).plus(Sums {
                folders: 1,
                ..Sums::default()
            }),
        }
    }

    /// Every version is the current one of one name, a former one, or to be swept; every block belongs to one of
    /// these, or to an upload.
    fn check_versions(&self, tables: &Tables<'_>) {
        let mut owned = BTreeSet::new();
        let mut own = |version: u64| assert!(owned.insert(version), "version {version} twice");
        let trashed = self.trash.values().map(|row| &row.entry);
        for entry in self.entries.values().chain(trashed) {
            if let EntryRow::File {
                file,
                version,
                size,
                ..
            } = entry
            {
                own(*version);
                let row = &self.versions[version];
                assert_eq!((row.file, row.size), (*file, *size), "version {version}");
            }
        }
        self.former.iter().for_each(|(_, version)| own(*version));
        let mut drafts: BTreeMap<u64, u32> = BTreeMap::new();
        for purge in &self.purges {
            match purge {
                PurgeRow::File { version, .. } | PurgeRow::Version { version } => own(*version),
                PurgeRow::Draft { version, blocks } => {
                    drafts.insert(*version, *blocks);
                }
                PurgeRow::Folder { .. } | PurgeRow::Node { .. } | PurgeRow::Recount { .. } => {}
            }
        }
        for upload in self.uploads.values() {
            let blocks = upload
                .chunk_count(CHUNK_SIZE)
                .div_ceil(CHUNKS_PER_BLOCK as u64);
            drafts.insert(upload.version, u32::try_from(blocks).unwrap());
        }
        let listed: BTreeSet<_> = self.versions.keys().copied().collect();
        assert_eq!(listed, owned, "versions");
        for (version, block) in &self.blocks {
            let blocks = match self.versions.get(version) {
                Some(row) => row.chunk_count().div_ceil(CHUNKS_PER_BLOCK as u64),
                None => u64::from(drafts[version]),
            };
            assert!(u64::from(*block) < blocks, "block {block} of {version}");
        }
        let by_time = rows(&tables.former_by_time, |(at, version)| (version, at), |f| f);
        let by_file = rows(&tables.former, |(file, version)| (version, file), |at| at);
        let expected: BTreeMap<_, _> = by_file
            .iter()
            .map(|((version, file), at)| ((*version, *at), *file))
            .collect();
        assert_eq!(by_time, expected, "former versions by time");
    }

    /// A share's row is found by all its keys, and what it shares is found from it.
    fn check_shares(&self, tables: &Tables<'_>) {
        let shares = rows(
            &tables.shares,
            |key| key,
            |row| decode::<ShareRow>(row).unwrap(),
        );
        let tokens: BTreeMap<_, _> = shares
            .iter()
            .map(|(share, row)| (*row.token.as_bytes(), *share))
            .collect();
        let listed = rows(&tables.shares_by_token, |key| *key, |share| share);
        assert_eq!(listed, tokens, "shares by token");
        let targets: BTreeSet<_> = shares
            .iter()
            .map(|(share, row)| (row.target.key().0, row.target.key().1, *share))
            .collect();
        assert_eq!(keys(&tables.shares_by_target, |key| key), targets);
        let ends: BTreeSet<_> = shares
            .iter()
            .filter_map(|(share, row)| Some((row.expires_ms?, *share)))
            .collect();
        assert_eq!(keys(&tables.shares_by_expiry, |key| key), ends);
        assert!(shares.keys().all(|share| *share < tables.head.next_share));

        let places = rows(
            &tables.shared_files,
            |key| key,
            |(folder, name)| (folder, name.to_owned()),
        );
        let files = targets.iter().filter(|(kind, ..)| *kind == 1);
        let files: BTreeSet<_> = files.map(|(_, file, _)| *file).collect();
        assert_eq!(places.keys().copied().collect::<BTreeSet<_>>(), files);
        let names = rows(&tables.folder_names, |key| key, str::to_owned);
        assert!(names.keys().all(|folder| self.folders.contains_key(folder)));
        for ((folder, name), entry) in &self.entries {
            match entry {
                EntryRow::Folder { folder: id, .. } => assert_eq!(names.get(id), Some(name)),
                EntryRow::File { file, .. } => {
                    if let Some(place) = places.get(file) {
                        assert_eq!(*place, (*folder, name.clone()), "file {file}");
                    }
                }
            }
        }
        for row in self.trash.values() {
            if let EntryRow::Folder { folder, .. } = row.entry {
                let name = row.path.rsplit('/').next().unwrap();
                assert_eq!(names.get(&folder).unwrap(), name, "{}", row.path);
            }
        }
    }

    fn counters(&self, tables: &Tables<'_>) -> Counters {
        let mut counters = Counters::default();
        for (trash, row) in &self.trash {
            if *trash >= tables.head.trash_emptied_below {
                counters.trashed = counters.trashed.plus(self.sums_of(&row.entry));
            }
        }
        for (_, row) in self.needed() {
            counters.chunks += 1;
            counters.chunk_bytes += u64::from(row.len);
            *counters.by_copies(row.copies_counted()) += 1;
        }
        let count = |found: usize| found as u64;
        counters.needs_copies = count(keys(&tables.needs_copies, |id| *id).len());
        counters.garbage = count(keys(&tables.garbage, |(_, id)| *id).len());
        counters.replicas = count(self.node_chunks.len());
        counters.planned_deletions = count(self.planned.len());
        counters.uploads = count(self.uploads.len());
        counters.purges = count(self.purges.len());
        for (_, version) in &self.former {
            counters.former = counters.former.with(self.versions[version].size);
        }
        counters
    }
}

fn check_answers(tables: &Tables<'_>) {
    let answers: BTreeSet<_> = rows(
        &tables.answers,
        |key| key,
        |row| decode::<AnswerRow>(row).unwrap().at.0,
    )
    .into_iter()
    .map(|((kind, id), at)| (at, kind, id))
    .collect();
    assert_eq!(keys(&tables.answers_by_time, |key| key), answers, "answers");
}

fn folder_of(entry: &EntryRow) -> Option<u64> {
    match entry {
        EntryRow::Folder { folder, .. } => Some(*folder),
        EntryRow::File { .. } => None,
    }
}

/// Whether the state records that a node holds a chunk.
pub(super) fn holds(state: &State, node: NodeNumber, chunk: &ChunkId) -> bool {
    let row = state.read().unwrap().chunk(chunk).unwrap();
    row.is_some_and(|row| row.replicas.contains(&node))
}

fn rows<K, V, A, B>(
    table: &Table<'_, K, V>,
    key: impl for<'a> Fn(K::SelfType<'a>) -> A,
    value: impl for<'a> Fn(V::SelfType<'a>) -> B,
) -> BTreeMap<A, B>
where
    K: Key + 'static,
    V: Value + 'static,
    A: Ord,
{
    let read = |row: Result<(redb::AccessGuard<'_, K>, redb::AccessGuard<'_, V>), _>| {
        let (k, v) = row.unwrap();
        (key(k.value()), value(v.value()))
    };
    table.iter().unwrap().map(read).collect()
}

fn keys<K, V, A>(table: &Table<'_, K, V>, key: impl for<'a> Fn(K::SelfType<'a>) -> A) -> BTreeSet<A>
where
    K: Key + 'static,
    V: Value + 'static,
    A: Ord,
{
    table
        .iter()
        .unwrap()
        .map(|row| key(row.unwrap().0.value()))
        .collect()
}
