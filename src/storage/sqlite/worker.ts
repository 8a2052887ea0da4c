import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { CompactedError, FutureRevisionError } from '../storage.ts';
import { Database } from './database.ts';
import type { Answer, Question, WireError } from './protocol.ts';

/*
 * The thread that has the file. Questions are answered in their order; compaction goes on in small parts between them.
 */

const port = parentPort as MessagePort;
const { directory } = workerData as { readonly directory: string };
const database = open();
let compacting: { readonly id: number; readonly revision: number } | undefined;

port.on('message', (question: Question) => {
  void take(question);
});

function open(): Database {
  try {
    const opened = new Database(directory);
    port.postMessage({ id: 0, ok: true, value: opened.compacted, revision: opened.revision } satisfies Answer);
    return opened;
  } catch (error) {
    port.postMessage({ id: 0, ok: false, error: wireError(error) } satisfies Answer);
    port.close();
    throw error;
  }
}

async function take(question: Question): Promise<void> {
  const { id } = question;
  try {
    switch (question.type) {
      case 'write':
        return answer(id, database.write(question));
      case 'get':
        return answer(id, database.get(question.key, question.revision));
      case 'range':
        return answer(id, database.range(question.prefix, question.revision, question.start, question.limit));
      case 'history':
        return answer(id, database.history(question.prefix, question.after));
      case 'compact':
        if (compacting) answer(compacting.id, undefined);
        compacting = question;
        return compactSome();
      case 'snapshot':
        database.snapshot(question.file);
        return answer(id, undefined);
      case 'close':
        if (compacting) answer(compacting.id, undefined);
        compacting = undefined;
        database.close();
        answer(id, undefined);
        return port.close();
    }
  } catch (error) {
    port.postMessage({ id, ok: false, error: wireError(error) } satisfies Answer);
  }
}

function compactSome(): void {
  if (!compacting) return;
  const { id, revision } = compacting;
  try {
    if (!database.compact(revision)) {
      setImmediate(compactSome);
      return;
    }
    compacting = undefined;
    answer(id, undefined);
  } catch (error) {
    compacting = undefined;
    port.postMessage({ id, ok: false, error: wireError(error) } satisfies Answer);
  }
}

function answer(id: number, value: unknown): void {
  port.postMessage({ id, ok: true, value, revision: database.revision } satisfies Answer);
}

function wireError(error: unknown): WireError {
  const { name, message } = error as Error;
  if (error instanceof CompactedError) return { name, message, other: error.compactRevision };
  if (error instanceof FutureRevisionError) return { name, message, other: error.currentRevision };
  return { name, message };
}
