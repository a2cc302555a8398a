import { Database } from 'bun:sqlite';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { KubeObject } from '../../platform/kubernetes/kinds/index.ts';
import { storageFailure } from './errors.ts';
import { LIMITS } from './limits.ts';

/** An object as stored: shared, never mutated. */
export interface StoredObject extends KubeObject {
  [field: string]: unknown;
}

export interface Entry {
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  readonly object: StoredObject;
  /** The object's JSON, encoded once per change. */
  readonly json: string;
}

export interface Change {
  readonly revision: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly entry: Entry;
  /** What was stored before; undefined for a creation, or when a restart forgot it. */
  readonly previous: Entry | undefined;
  /** Lines already encoded for watchers, by representation. */
  readonly encoded: Map<string, Uint8Array>;
}

interface Table {
  readonly entries: Map<string, Entry>;
  sorted: Entry[] | undefined;
  readonly history: Change[];
  /** Watches may not resume at or before... this revision: history up to it is gone. */
  compacted: number;
  readonly listeners: Set<(change: Change) => void>;
}

const keyOf = (namespace: string, name: string) => `${namespace}/${name}`;

/**
 * All objects, in memory for reading and in SQLite for keeping. Writes go to SQLite first, in one transaction with their line in the history.
 * WAL with synchronous=NORMAL: a killed process loses nothing that was answered; only a power cut may lose the last writes, and then every pod of
 * an embedded cluster is gone as well.
 */
export class Store {
  readonly #database: Database;
  readonly #directory: string;
  readonly #tables = new Map<string, Table>();
  readonly #everyChange = new Set<(resource: string, change: Change) => void>();
  #revision: number;
  #sinceCompaction = 0;
  readonly #write: (resource: string, type: Change['type'], entry: Entry) => void;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#database = new Database(join(directory, 'state.db'), { create: true, strict: true });
    this.#database.run('PRAGMA journal_mode = WAL');
    this.#database.run('PRAGMA synchronous = NORMAL');
    this.#database.run(
      'CREATE TABLE IF NOT EXISTS objects (resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, data TEXT NOT NULL, PRIMARY KEY (resource, namespace, name)) WITHOUT ROWID',
    );
    this.#database.run(
      'CREATE TABLE IF NOT EXISTS changes (revision INTEGER PRIMARY KEY, type TEXT NOT NULL, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, data TEXT NOT NULL)',
    );
    this.#database.run('CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)');
    this.#revision = this.#load();
    const upsert = this.#database.prepare(
      'INSERT OR REPLACE INTO objects (resource, namespace, name, revision, data) VALUES (?, ?, ?, ?, ?)',
    );
    const drop = this.#database.prepare('DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?');
    const log = this.#database.prepare('INSERT INTO changes (revision, type, resource, namespace, name, data) VALUES (?, ?, ?, ?, ?, ?)');
    const compact = this.#database.prepare('DELETE FROM changes WHERE revision <= ?');
    this.#write = this.#database.transaction((resource: string, type: Change['type'], entry: Entry) => {
      if (type === 'DELETED') drop.run(resource, entry.namespace, entry.name);
      else upsert.run(resource, entry.namespace, entry.name, entry.revision, entry.json);
      log.run(entry.revision, type, resource, entry.namespace, entry.name, entry.json);
      if (++this.#sinceCompaction < 1000) return;
      this.#sinceCompaction = 0;
      compact.run(entry.revision - LIMITS.storedHistory);
    });
  }

  /** The newest revision of anything. */
  get revision(): number {
    return this.#revision;
  }

  #load(): number {
    let revision = 1;
    interface ObjectRow {
      resource: string;
      namespace: string;
      name: string;
      revision: number;
      data: string;
    }
    for (const row of this.#database.query<ObjectRow, []>('SELECT * FROM objects').iterate()) {
      this.#table(row.resource).entries.set(keyOf(row.namespace, row.name), decode(row));
      revision = Math.max(revision, row.revision);
    }
    const rows = this.#database.query<ObjectRow & { type: Change['type'] }, []>('SELECT * FROM changes ORDER BY revision').all();
    const last = new Map<string, Entry>();
    for (const row of rows) {
      const entry = decode(row);
      const key = `${row.resource}/${keyOf(row.namespace, row.name)}`;
      this.#table(row.resource).history.push({
        revision: row.revision,
        type: row.type,
        entry,
        previous: last.get(key),
        encoded: new Map(),
      });
      last.set(key, entry);
      revision = Math.max(revision, row.revision);
    }
    this.#historyStart = rows.length === 0 ? revision : rows[0]!.revision - 1;
    for (const table of this.#tables.values()) table.compacted = this.#historyStart;
    return revision;
  }
  #historyStart = 1;

  #table(resource: string): Table {
    let table = this.#tables.get(resource);
    if (table === undefined) {
      table = { entries: new Map(), sorted: undefined, history: [], compacted: this.#historyStart ?? 0, listeners: new Set() };
      this.#tables.set(resource, table);
    }
    return table;
  }

  get(resource: string, namespace: string, name: string): Entry | undefined {
    return this.#tables.get(resource)?.entries.get(keyOf(namespace, name));
  }

  /** Entries in the order of namespace and name. */
  list(resource: string, namespace?: string): readonly Entry[] {
    const table = this.#tables.get(resource);
    if (table === undefined) return [];
    table.sorted ??= [...table.entries.values()].sort((a, b) =>
      a.namespace < b.namespace ? -1 : a.namespace > b.namespace ? 1 : a.name < b.name ? -1 : 1,
    );
    return namespace === undefined ? table.sorted : table.sorted.filter((entry) => entry.namespace === namespace);
  }

  /** Stores the object under the next revision. `object` is kept: the caller may not change it afterwards. */
  put(resource: string, namespace: string, name: string, object: StoredObject): Entry {
    const previous = this.get(resource, namespace, name);
    return this.#commit(resource, previous === undefined ? 'ADDED' : 'MODIFIED', namespace, name, object, previous);
  }

  remove(resource: string, entry: Entry, finalState: StoredObject = entry.object): Entry {
    return this.#commit(resource, 'DELETED', entry.namespace, entry.name, finalState, entry);
  }

  #commit(
    resource: string,
    type: Change['type'],
    namespace: string,
    name: string,
    object: StoredObject,
    previous: Entry | undefined,
  ): Entry {
    const revision = this.#revision + 1;
    const stored: StoredObject = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
    const entry: Entry = { namespace, name, revision, object: stored, json: JSON.stringify(stored) };
    try {
      this.#write(resource, type, entry);
    } catch (error) {
      throw storageFailure(error, this.#directory);
    }
    this.#revision = revision;
    const table = this.#table(resource);
    const key = keyOf(namespace, name);
    if (type === 'DELETED') table.entries.delete(key);
    else table.entries.set(key, entry);
    if (type !== 'MODIFIED') table.sorted = undefined;
    else if (table.sorted !== undefined) replaceSorted(table.sorted, previous!, entry);
    const change: Change = { revision, type, entry, previous, encoded: new Map() };
    table.history.push(change);
    if (table.history.length > LIMITS.watchHistory * 1.25) {
      const dropped = table.history.splice(0, table.history.length - LIMITS.watchHistory);
      table.compacted = dropped.at(-1)!.revision;
    }
    for (const listener of table.listeners) listener(change);
    for (const listener of this.#everyChange) listener(resource, change);
    return entry;
  }

  /** Changes after `revision`, oldest first; undefined when history no longer reaches back so far. */
  changesSince(resource: string, revision: number): readonly Change[] | undefined {
    const table = this.#table(resource);
    if (revision < table.compacted) return undefined;
    let low = 0;
    let high = table.history.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (table.history[middle]!.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return table.history.slice(low);
  }

  subscribe(resource: string, listener: (change: Change) => void): () => void {
    const { listeners } = this.#table(resource);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  onEveryChange(listener: (resource: string, change: Change) => void): void {
    this.#everyChange.add(listener);
  }

  resourcesWithObjects(): string[] {
    return [...this.#tables].filter(([, table]) => table.entries.size > 0).map(([resource]) => resource);
  }

  close(): void {
    try {
      this.#database.run('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch {
      // a full disk: the log stays beside the database and is read at the next start
    }
    this.#database.close();
  }
}

function decode(row: { namespace: string; name: string; revision: number; data: string }): Entry {
  return { namespace: row.namespace, name: row.name, revision: row.revision, object: JSON.parse(row.data) as StoredObject, json: row.data };
}

/** Keeps the sorted list valid after a change of one object, in logarithmic time. */
function replaceSorted(sorted: Entry[], previous: Entry, next: Entry): void {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const entry = sorted[middle]!;
    if (entry.namespace < previous.namespace || (entry.namespace === previous.namespace && entry.name < previous.name)) low = middle + 1;
    else high = middle;
  }
  sorted[low] = next;
}
