import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { answering, wireError } from './answering.ts';
import { Database } from './database.ts';
import type { Answer, Question } from './protocol.ts';

/*
 * The thread that has the file.
 */

const port = parentPort as MessagePort;
const { directory } = workerData as { readonly directory: string };
const take = answering({
  database: open(),
  later: run => setImmediate(run),
  answer: answer => port.postMessage(answer),
  closed: () => port.close(),
});

port.on('message', (question: Question) => take(question));

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
