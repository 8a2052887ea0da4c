/** Turns what is stored into what it means and back. The key of the store is authenticated with it. */
export interface Transformer {
  /** What is written now; stored values of another writer are out of date. */
  readonly writer: string;
  /** Throws when it cannot be encrypted: then nothing is written. */
  write(plain: Uint8Array, key: string): Uint8Array;
  /** Throws, or rejects, when it cannot be read. A promise only where somebody else has to be asked. */
  read(stored: Uint8Array, key: string): Read | Promise<Read>;
}

export interface Read {
  readonly bytes: Uint8Array;
  /** Who wrote it. */
  readonly writer: string;
}

/** A transformer for values that begin with something. */
export interface Prefixed {
  readonly prefix: string;
  readonly transformer: Transformer;
}

export interface TransformationObserver {
  (direction: 'from_storage' | 'to_storage', prefix: string, seconds: number, failure: boolean): void;
}

/**
 * The first one writes. What is read is given to each whose prefix it has, until one can read it: two providers may have
 * the same prefix and different keys.
 */
export function firstOf(
  list: readonly Prefixed[],
  noMatch: string,
  observe?: TransformationObserver,
  monotonic: () => number = () => 0,
): Transformer {
  const entries = list.map(({ prefix, transformer }) => ({ prefix: Buffer.from(prefix), name: prefix, transformer }));
  const [first] = entries as [(typeof entries)[number]];
  const observed = (name: string, startMs: number, failure: boolean) =>
    observe?.('from_storage', name === '' ? 'identity' : name, (monotonic() - startMs) / 1000, failure);

  /** Tries them from a position on; every one that fails goes on with the next. */
  const readFrom = (at: number, stored: Uint8Array, key: string, failures: Error[]): Read | Promise<Read> => {
    for (let index = at; index < entries.length; index++) {
      const { prefix, name, transformer } = entries[index] as (typeof entries)[number];
      if (!startsWith(stored, prefix)) continue;
      const startMs = monotonic();
      // Without a prefix it may be anything: that it cannot be read says nothing.
      const failed = (error: unknown) => {
        if (name === '') return;
        observed(name, startMs, true);
        failures.push(error as Error);
      };
      try {
        const read = transformer.read(stored.subarray(prefix.length), key);
        if (!(read instanceof Promise)) {
          observed(name, startMs, false);
          return read;
        }
        return read.then(
          each => {
            observed(name, startMs, false);
            return each;
          },
          (error: unknown) => {
            failed(error);
            return readFrom(index + 1, stored, key, failures);
          },
        );
      } catch (error) {
        failed(error);
      }
    }
    if (failures.length === 0) observe?.('from_storage', 'unknown', 0, true);
    throw new Error(failures.length === 0 ? noMatch : failures.map(({ message }) => message).join(', '));
  };

  return {
    get writer() {
      return first.transformer.writer;
    },
    write(plain, key) {
      const startMs = monotonic();
      const done = (failure: boolean) =>
        observe?.('to_storage', first.name === '' ? 'identity' : first.name, (monotonic() - startMs) / 1000, failure);
      try {
        const encrypted = first.transformer.write(plain, key);
        done(false);
        return first.prefix.length === 0 ? encrypted : Buffer.concat([first.prefix, encrypted]);
      } catch (error) {
        done(true);
        throw error;
      }
    },
    read: (stored, key) => readFrom(0, stored, key, []),
  };
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  if (bytes.length < prefix.length) return false;
  for (let at = 0; at < prefix.length; at++) if (bytes[at] !== prefix[at]) return false;
  return true;
}

const encryptedPrefix = Buffer.from('k8s:enc:');

/** Stores as it is, and reads what is not encrypted. */
export const identity: Transformer = {
  writer: 'identity',
  write: plain => plain,
  read(stored) {
    if (startsWith(stored, encryptedPrefix)) throw new Error('identity transformer tried to read encrypted data');
    return { bytes: stored, writer: 'identity' };
  },
};
