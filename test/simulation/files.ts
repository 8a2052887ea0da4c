import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Random } from '#base/random.ts';
import { answering } from '#storage/sqlite/answering.ts';
import { Database } from '#storage/sqlite/database.ts';
import type { Answer, Question } from '#storage/sqlite/protocol.ts';
import { openSqliteStorage } from '#storage/sqlite/sqlite-storage.ts';
import type { Storage } from '#storage/storage.ts';
import { between, happens } from './chance.ts';
import type { DiskFaults } from './disk.ts';
import type { Life, VirtualTime } from './virtual-time.ts';

export interface SimulatedFilesOptions {
  readonly time: VirtualTime;
  readonly faults: DiskFaults;
  /** Told of what a crash leaves behind. */
  readonly note: (line: string) => void;
}

/** What a disk that loses its power in the midst of a write is left with. */
interface Unsynced {
  /** Of the log, before and behind what was being written. */
  readonly fromBytes: number;
  readonly toBytes: number;
}

const sectorBytes = 512;
const databaseName = 'store.db';
const logName = `${databaseName}-wal`;

/**
 * The files of the one server that has its store inside itself: the real SQLite back end over real files (in memory, where
 * the machine has such a place), with the time and the faults of a disk. What was being written when the process dies is
 * torn: of the end of SQLite's log some sectors are there, others are not.
 */
export class SimulatedFiles implements Disposable {
  readonly #options: SimulatedFilesOptions;
  readonly #root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'windlass-simulation-'));
  #generation = 0;
  #database: Database | undefined;
  #unsynced: Unsynced | undefined;
  #logBytes = 0;

  constructor(options: SimulatedFilesOptions) {
    this.#options = options;
  }

  /** Opens what the last process has left. */
  async open(life: Life, random: Random): Promise<Storage> {
    this.#leaveBehind(random);
    const directory = this.#directory();
    return openSqliteStorage({ directory, thread: this.#thread(life, random, directory) });
  }

  [Symbol.dispose](): void {
    this.#close();
    rmSync(this.#root, { recursive: true, force: true });
  }

  #directory(): string {
    return join(this.#root, String(this.#generation));
  }

  /** The next process finds the files as the disk has them. */
  #leaveBehind(random: Random): void {
    if (!this.#database) return;
    const old = this.#directory();
    this.#generation++;
    const directory = this.#directory();
    // Not by the old connection: closing it would tidy up.
    mkdirSync(directory, { recursive: true });
    for (const name of [databaseName, logName])
      if (existsSync(join(old, name))) copyFileSync(join(old, name), join(directory, name));
    if (this.#unsynced) this.#tear(join(directory, logName), this.#unsynced, random);
    this.#unsynced = undefined;
    this.#close();
    rmSync(old, { recursive: true, force: true });
  }

  #tear(log: string, { fromBytes, toBytes }: Unsynced, random: Random): void {
    const way = between(random, 0, 2);
    const keptBytes = between(random, 0, toBytes - fromBytes);
    this.#options.note(`the disk has ${keptBytes} of ${toBytes - fromBytes} unsynced bytes, torn in way ${way}`);
    if (way === 0) truncateSync(log, fromBytes + keptBytes);
    else if (way === 1) overwrite(log, fromBytes + keptBytes, Buffer.alloc(toBytes - fromBytes - keptBytes));
    // Sectors reach the disk in any order.
    else
      for (let at = fromBytes; at < toBytes; at += sectorBytes)
        if (happens(random, 0.3)) overwrite(log, at, Buffer.alloc(Math.min(sectorBytes, toBytes - at), 0xa5));
  }

  #close(): void {
    this.#database?.close();
    this.#database = undefined;
  }

  #thread(life: Life, random: Random, directory: string) {
    const { time, faults } = this.#options;
    let listener: ((answer: Answer) => void) | undefined;
    const answer = (said: Answer) => {
      if (!life.isOver) listener?.(said);
    };
    /** One after the other, as a thread does it. */
    let before: Promise<void> = Promise.resolve();
    const inTurn = (run: () => Promise<void> | void) => {
      before = before.then(async () => {
        await time.sleep(between(random, 0, faults.slowMs));
        if (!life.isOver) await run();
      });
    };
    let take: ((question: Question) => void) | undefined;
    const write = async (question: Question): Promise<void> => {
      if (happens(random, faults.fails)) {
        const error = { name: 'Error', message: 'disk I/O error' };
        return answer({ id: question.id, ok: false, error });
      }
      const held: Answer[] = [];
      hold = said => held.push(said);
      take?.(question);
      hold = undefined;
      const log = join(directory, logName);
      const nowBytes = existsSync(log) ? statSync(log).size : 0;
      // A log that is begun anew is written over; only what is appended is torn here.
      if (nowBytes > this.#logBytes) this.#unsynced = { fromBytes: this.#logBytes, toBytes: nowBytes };
      this.#logBytes = nowBytes;
      await time.sleep(between(random, 0, faults.slowMs));
      if (life.isOver) return;
      this.#unsynced = undefined;
      for (const each of held) answer(each);
    };
    let hold: ((said: Answer) => void) | undefined;

    return {
      listen: ({ answered }: { answered(said: Answer): void }) => {
        listener = answered;
        inTurn(() => {
          try {
            const database = new Database(directory);
            this.#database = database;
            const log = join(directory, logName);
            this.#logBytes = existsSync(log) ? statSync(log).size : 0;
            take = answering({
              database,
              later: run => time.after(1, () => !life.isOver && run()),
              answer: said => (hold ?? answer)(said),
              closed: () => undefined,
            });
            answer({ id: 0, ok: true, value: database.compacted, revision: database.revision });
          } catch (error) {
            answer({ id: 0, ok: false, error: { name: 'Error', message: (error as Error).message } });
          }
        });
      },
      send: (question: Question) => inTurn(() => (question.type === 'write' ? write(question) : take?.(question))),
    };
  }
}

function overwrite(file: string, atBytes: number, bytes: Uint8Array): void {
  const descriptor = openSync(file, 'r+');
  try {
    writeSync(descriptor, bytes, 0, bytes.length, atBytes);
  } finally {
    closeSync(descriptor);
  }
}
