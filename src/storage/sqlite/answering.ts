import { CompactedError, FutureRevisionError } from '../storage.ts';
import type { Database } from './database.ts';
import type { Answer, Question, WireError } from './protocol.ts';

export interface Answering {
  readonly database: Database;
  /** Calls back as soon as other questions have had their turn. */
  readonly later: (run: () => void) => void;
  readonly answer: (answer: Answer) => void;
  /** The database is closed, and that was the last answer. */
  readonly closed: () => void;
}

/** Answers questions in the order of the calls; compaction goes on in small parts between them. */
export function answering({ database, later, answer, closed }: Answering): (question: Question) => void {
  let compacting: { readonly id: number; readonly revision: number } | undefined;

  return question => {
    const { id } = question;
    try {
      switch (question.type) {
        case 'write':
          return succeed(id, database.write(question));
        case 'get':
          return succeed(id, database.get(question.key, question.revision));
        case 'range':
          return succeed(id, database.range(question.prefix, question.revision, question.start, question.limit));
        case 'history':
          return succeed(id, database.history(question.prefix, question.after));
        case 'compact':
          if (compacting) succeed(compacting.id, undefined);
          compacting = question;
          return compactSome();
        case 'snapshot':
          database.snapshot(question.file);
          return succeed(id, undefined);
        case 'close':
          if (compacting) succeed(compacting.id, undefined);
          compacting = undefined;
          database.close();
          succeed(id, undefined);
          return closed();
      }
    } catch (error) {
      answer({ id, ok: false, error: wireError(error) });
    }
  };

  function compactSome(): void {
    if (!compacting) return;
    const { id, revision } = compacting;
    try {
      if (!database.compact(revision)) {
        later(compactSome);
        return;
      }
      compacting = undefined;
      succeed(id, undefined);
    } catch (error) {
      compacting = undefined;
      answer({ id, ok: false, error: wireError(error) });
    }
  }

  function succeed(id: number, value: unknown): void {
    answer({ id, ok: true, value, revision: database.revision });
  }
}

export function wireError(error: unknown): WireError {
  const { name, message } = error as Error;
  if (error instanceof CompactedError) return { name, message, other: error.compactRevision };
  if (error instanceof FutureRevisionError) return { name, message, other: error.currentRevision };
  return { name, message };
}
