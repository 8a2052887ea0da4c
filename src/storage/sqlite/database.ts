import { closeSync, existsSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { CompactedError, FutureRevisionError, StorageUnavailableError } from '../storage.ts';
import {
  expectAbsent,
  expectAny,
  isDeletion,
  type WireEntry,
  type WireEvent,
  type WireRange,
  type WriteBatch,
  type WriteResults,
} from './protocol.ts';

/**
 * The store's file, as the worker thread sees it: every change is a row that is never changed again, and the newest row of
 * a key is the entry. Compaction drops rows that newer ones have replaced.
 */
export class Database {
  readonly #database: DatabaseSync;
  readonly #directory: string;
  readonly #newest: StatementSync;
  readonly #value: StatementSync;
  readonly #insert: StatementSync;
  readonly #setCompacted: StatementSync;
  #revision: number;
  #compacted: number;
  /** The disk is full: only deletions are taken, until there is room again. */
  #full = false;

  /** Throws an Error that says what to do when the file cannot be used. */
  constructor(directory: string) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#directory = directory;
    const file = join(directory, fileName);
    try {
      this.#database = openDatabase(file);
      this.#newest = this.#database.prepare(
        'SELECT revision, deleted, create_revision FROM change WHERE key = ? ORDER BY revision DESC LIMIT 1',
      );
      this.#value = this.#database.prepare('SELECT value FROM change WHERE revision = ?');
      this.#insert = this.#database.prepare(
        'INSERT INTO change (revision, key, deleted, create_revision, value) VALUES (?, ?, ?, ?, ?)',
      );
      this.#setCompacted = this.#database.prepare("UPDATE mark SET value = ? WHERE name = 'compacted'");
      const compacted = this.#database.prepare("SELECT value FROM mark WHERE name = 'compacted'").get();
      const newest = this.#database.prepare('SELECT MAX(revision) AS revision FROM change').get();
      this.#compacted = Number(compacted?.['value'] ?? 1);
      // Compaction may have dropped the newest row: a deletion.
      this.#revision = Math.max(1, this.#compacted, Number(newest?.['revision'] ?? 1));
    } catch (error) {
      throw new Error(unusable(file, error as Error), { cause: error });
    }
    this.#reserve();
  }

  get revision(): number {
    return this.#revision;
  }

  get compacted(): number {
    return this.#compacted;
  }

  /** All writes in one transaction, each for itself: one that is not as expected does not stop the others. */
  write(batch: WriteBatch): WriteResults {
    try {
      if (this.#full && this.#hasRoom()) this.#recover();
      return this.#commitOrShrink(batch);
    } catch (error) {
      throw withRemedy(error, this.#directory);
    }
  }

  #commitOrShrink(batch: WriteBatch): WriteResults {
    try {
      return this.#commit(batch, this.#full);
    } catch (error) {
      if (!isDiskFull(error) || this.#full) throw error;
      // The reserve makes room for deletions, which are what gives room back.
      this.#full = true;
      rmSync(join(this.#directory, reserveName), { force: true });
      return this.#commit(batch, true);
    }
  }

  get(key: string, revision: number | undefined): WireEntry | undefined {
    if (revision !== undefined) this.#check(revision);
    const row = this.#database
      .prepare(
        'SELECT revision, deleted, create_revision, value FROM change WHERE key = ? AND revision <= ? ORDER BY revision DESC LIMIT 1',
      )
      .get(key, revision ?? this.#revision);
    return row && Number(row['deleted']) === 0 ? entryOf({ ...row, key }) : undefined;
  }

  range(prefix: string, asked: number | undefined, start: string | undefined, limit: number | undefined): WireRange {
    const revision = asked ?? this.#revision;
    this.#check(revision);
    const from = start !== undefined && start > prefix ? start : prefix;
    const newest = `SELECT key, MAX(revision) AS revision, deleted FROM change
       WHERE key >= ? AND key < ? AND revision <= ? GROUP BY key HAVING deleted = 0`;
    const rows = this.#database
      .prepare(
        `SELECT change.key, change.revision, change.create_revision, change.value
         FROM (${newest} ORDER BY key LIMIT ?) AS newest JOIN change ON change.revision = newest.revision
         ORDER BY change.key`,
      )
      .all(from, behind(prefix), revision, limit ?? -1);
    const entries = rows.map(entryOf);
    const full = limit !== undefined && entries.length === limit;
    const total = full
      ? Number(
          this.#database.prepare(`SELECT COUNT(*) AS total FROM (${newest})`).get(from, behind(prefix), revision)?.[
            'total'
          ],
        )
      : entries.length;
    return { entries, revision, remaining: total - entries.length };
  }

  /** The changes after a revision, oldest first. */
  history(prefix: string, after: number): readonly WireEvent[] {
    if (after < this.#compacted) throw new CompactedError(after, this.#compacted);
    const before = this.#database.prepare(
      'SELECT value FROM change WHERE key = ? AND revision < ? ORDER BY revision DESC LIMIT 1',
    );
    return this.#database
      .prepare(
        'SELECT revision, key, deleted, create_revision, value FROM change WHERE revision > ? AND key >= ? AND key < ? ORDER BY revision',
      )
      .all(after, prefix, behind(prefix))
      .map(row => {
        const { key, modRevision: revision, createRevision, bytes } = entryOf(row);
        const deleted = Number(row['deleted']) === 1;
        const value = deleted ? before.get(key, revision)?.['value'] : bytes;
        return { key, deleted, revision, createRevision, bytes: (value ?? bytes) as Uint8Array };
      });
  }

  /** A part of the work at a time, so that writes need not wait for all of it; false: there is more. */
  compact(revision: number): boolean {
    if (revision > this.#revision) throw new FutureRevisionError(revision, this.#revision);
    if (revision > this.#compacted) {
      this.#setCompacted.run(revision);
      this.#compacted = revision;
    }
    const { changes } = this.#database
      .prepare(
        `DELETE FROM change WHERE revision IN (
           SELECT old.revision FROM change AS old WHERE old.revision <= ?1 AND (
             EXISTS (SELECT 1 FROM change AS newer WHERE newer.key = old.key AND newer.revision > old.revision AND newer.revision <= ?1)
             OR old.deleted = 1
           ) LIMIT ${compactRowsAtOnce})`,
      )
      .run(this.#compacted);
    return Number(changes) < compactRowsAtOnce;
  }

  snapshot(file: string): void {
    // Not by Node's backup(): it copies on another thread, and fails when this one writes at the same moment.
    this.#database.prepare('VACUUM INTO ?').run(file);
  }

  close(): void {
    this.#database.close();
  }

  #commit({ keys, expected, lengths, values }: WriteBatch, deletionsOnly: boolean): WriteResults {
    const revisions: number[] = [];
    const createRevisions: number[] = [];
    const found: (WireEntry | undefined)[] = [];
    const refused: (string | undefined)[] = [];
    let revision = this.#revision;
    let offset = 0;
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      for (let index = 0; index < keys.length; index++) {
        const key = keys[index] as string;
        const length = lengths[index] as number;
        const deletes = length === isDeletion;
        const row = this.#newest.get(key) as { revision: number; deleted: number; create_revision: number } | undefined;
        const there = row !== undefined && row.deleted === 0;
        const wanted = expected[index] as number;
        const met =
          wanted === expectAny
            ? there || !deletes
            : wanted === expectAbsent
              ? !there && !deletes
              : there && row.revision === wanted;
        const value = deletes ? nothing : values.subarray(offset, offset + length);
        if (!deletes) offset += length;
        const blocked = met && deletionsOnly && !deletes;
        refused.push(blocked ? fullDisk(this.#directory) : undefined);
        if (!met || blocked) {
          revisions.push(0);
          createRevisions.push(0);
          found.push(there && !met ? this.#entry(key, row) : undefined);
          continue;
        }
        revision++;
        const createRevision = there ? row.create_revision : revision;
        found.push(deletes ? this.#entry(key, row as NonNullable<typeof row>) : undefined);
        this.#insert.run(revision, key, deletes ? 1 : 0, createRevision, value);
        revisions.push(revision);
        createRevisions.push(createRevision);
      }
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
    this.#revision = revision;
    return { revisions, createRevisions, found, refused };
  }

  #entry(key: string, row: { readonly revision: number; readonly create_revision: number }): WireEntry {
    const bytes = this.#value.get(row.revision)?.['value'] as Uint8Array;
    return { key, createRevision: row.create_revision, modRevision: row.revision, bytes };
  }

  #check(revision: number): void {
    if (revision > this.#revision) throw new FutureRevisionError(revision, this.#revision);
    if (revision < this.#compacted) throw new CompactedError(revision, this.#compacted);
  }

  #hasRoom(): boolean {
    const { bavail, bsize } = statfsSync(this.#directory);
    return bavail * bsize > 4 * reserveBytes;
  }

  #recover(): void {
    this.#reserve();
    this.#full = false;
  }

  /** Room that is kept for the day when there is none. Not having it is no reason not to start. */
  #reserve(): void {
    const file = join(this.#directory, reserveName);
    if (existsSync(file)) return;
    try {
      const descriptor = openSync(file, 'w', 0o600);
      try {
        writeSync(descriptor, Buffer.alloc(reserveBytes));
      } finally {
        closeSync(descriptor);
      }
    } catch (error) {
      rmSync(file, { force: true });
      if (!isDiskFull(error) && (error as NodeJS.ErrnoException).code !== 'EROFS') throw error;
    }
  }
}

const fileName = 'store.db';
const reserveName = 'reserve';
const reserveBytes = 4 * 1024 * 1024;
const compactRowsAtOnce = 500;
/** Of this much SQLite's log is taken over into the file. */
const checkpointPages = 4_000;
/** A larger file is not read through at every start; damage then shows when it is read. */
const checkedBytesMax = 256 * 1024 * 1024;
const nothing = new Uint8Array();

function openDatabase(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: 2_000 });
  // One process has the file to itself; FULL: a commit that is acknowledged is on the disk.
  database.exec(`
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = ${checkpointPages};
    PRAGMA cache_size = -16384;
    PRAGMA temp_store = MEMORY;
    CREATE TABLE IF NOT EXISTS change (
      revision INTEGER PRIMARY KEY,
      key TEXT NOT NULL,
      deleted INTEGER NOT NULL,
      create_revision INTEGER NOT NULL,
      value BLOB NOT NULL
    );
    CREATE INDEX IF NOT EXISTS change_by_key ON change (key, revision, deleted, create_revision);
    CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT OR IGNORE INTO mark VALUES ('format', 1), ('compacted', 1);
  `);
  const { page_count: pages = 0 } = database.prepare('PRAGMA page_count').get() ?? {};
  const { page_size: size = 0 } = database.prepare('PRAGMA page_size').get() ?? {};
  if (Number(pages) * Number(size) <= checkedBytesMax) {
    const said = Object.values(database.prepare('PRAGMA quick_check(1)').get() ?? {})[0];
    if (said !== 'ok') throw new Error(`database disk image is malformed: ${String(said)}`);
  }
  const format = Number(database.prepare("SELECT value FROM mark WHERE name = 'format'").get()?.['value']);
  if (format !== 1)
    throw new Error(`it has format ${format}, and this program knows format 1: it was written by a newer one`);
  return database;
}

function unusable(file: string, error: Error): string {
  const { errcode } = error as Error & { errcode?: number };
  if (errcode === 5) return `cannot open the store ${file}: another process has it open; stop that one first`;
  if (errcode === 8 || errcode === 14)
    return `cannot open the store ${file}: ${error.message}; check the permissions of the directory and that its file system is writable`;
  return `cannot open the store ${file}: ${error.message}; move the file and the -wal file beside it away and put a backup (made by snapshot) in its place`;
}

function fullDisk(directory: string): string {
  return `cannot write to the store: the disk under ${directory} is full; free space there, or delete objects, and writes are taken again`;
}

/** What of SQLite's errors is the disk's fault, with what to do about it; anything else is what it was. */
function withRemedy(error: unknown, directory: string): unknown {
  if (isDiskFull(error)) return new StorageUnavailableError(fullDisk(directory), { cause: error });
  const { errcode = 0, code = '', message } = error as Error & { errcode?: number; code?: string };
  if (errcode % 256 === 8 || code === 'EROFS')
    return new StorageUnavailableError(
      `cannot write to the store: the file system under ${directory} is read-only; mount it writable, and start the control plane again if writes stay refused`,
      { cause: error },
    );
  if (errcode % 256 === 10 || code === 'EIO')
    return new StorageUnavailableError(
      `cannot write to the store: the disk under ${directory} fails (${message}); look into the kernel's log and see to the disk, and writes are taken again`,
      { cause: error },
    );
  return error;
}

function isDiskFull(error: unknown): boolean {
  const { errcode, code } = error as { errcode?: number; code?: string };
  return errcode === 13 || code === 'ENOSPC' || code === 'EDQUOT';
}

/** The first text behind all that start with the prefix. */
function behind(prefix: string): string {
  if (prefix === '') return '\u{10ffff}';
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

function entryOf(row: Readonly<Record<string, unknown>>): WireEntry {
  return {
    key: row['key'] as string,
    createRevision: Number(row['create_revision']),
    modRevision: Number(row['revision']),
    bytes: row['value'] as Uint8Array,
  };
}
